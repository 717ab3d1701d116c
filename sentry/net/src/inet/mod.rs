//! TCP and UDP over the sandbox's own loopback (ip(7), tcp(7), udp(7)).

mod listener;
mod local;
mod ports;
mod route;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub(crate) use listener::TcpListener;
pub(crate) use ports::Ports;
pub(crate) use tcp::Tcp;
pub(crate) use udp::Udp;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Tcp>()
        .view::<Tcp, dyn crate::Transport>(|weak| weak)
        .object::<Udp>()
        .view::<Udp, dyn crate::Transport>(|weak| weak)
        .object::<TcpListener>()
}
