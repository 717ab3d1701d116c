//! Unix sockets (unix(7)).

mod bound;
mod datagram;
mod listener;
mod names;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use datagram::Datagram;
pub(crate) use names::Names;
pub(crate) use stream::Stream;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Stream>()
        .view::<Stream, dyn crate::Transport>(|weak| weak)
        .object::<stream::Endpoints>()
        .object::<listener::Listener>()
        .object::<Datagram>()
        .view::<Datagram, dyn crate::Transport>(|weak| weak)
}
