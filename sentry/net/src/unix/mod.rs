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
