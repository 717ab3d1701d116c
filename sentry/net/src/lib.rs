//! Sockets: Unix, TCP and UDP over the sandbox's own loopback, and route netlink.
//!
//! [`Socket`] is what a descriptor refers to: it waits, keeps the options, and hands the work to a
//! [`Transport`], one type per kind of socket.
//!
//! # Lock order
//!
//! files in flight -> state of a socket -> names and ports -> listener -> inbox -> options.
//! None is held over `block()`, a copy to application memory, or a notification.
#![forbid(unsafe_code)]

mod address;
mod create;
mod flight;
mod inet;
mod inode;
mod interface;
mod message;
mod namespace;
mod netlink;
mod options;
mod patience;
mod segments;
mod socket;
mod stream;
#[cfg(test)]
mod testing;
mod transport;
mod unix;

pub use address::{Address, UnixName};
pub use create::{create, create_pair};
pub use message::{Control, Outgoing, PacketInfo, Received, RecvHow, check_credentials};
pub use namespace::Namespace;
pub use socket::Socket;
pub use transport::{Shutdown, Transport};

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    let r = r
        .object::<Namespace>()
        .object::<options::Options>()
        .object::<stream::End>()
        .object::<Socket>()
        .view::<Socket, dyn vfs::File>(|weak| weak)
        .object::<inode::SocketInode>()
        .view::<inode::SocketInode, dyn vfs::Inode>(|weak| weak)
        .object::<netlink::Netlink>()
        .view::<netlink::Netlink, dyn Transport>(|weak| weak);
    unix::savable(inet::savable(r))
}
