//! What a kind of socket gives.

use std::{any::Any, fmt, sync::Arc};

use abi::{Errno, socket::Ucred};
use sched::WaitQueue;
use vfs::{Ctx, Dst, OpenFile, Src};

use crate::{Address, Outgoing, Received, RecvHow, options::Options, patience::Patience};

/// Directions to be shut (shutdown(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// `SHUT_RD`.
    pub read: bool,
    /// `SHUT_WR`.
    pub write: bool,
}

/// A kind of socket. Nothing here waits but `connect`: what can't be done yet is `EAGAIN`, and
/// [`crate::Socket`] waits for the queue and tries again.
/// A method that is not overridden answers what Linux answers for a socket that has no such thing.
pub trait Transport: Any + state::Object + fmt::Debug {
    /// Where to wait for events.
    fn queue(&self) -> &Arc<WaitQueue>;

    /// Its settings.
    fn options(&self) -> &Arc<Options>;

    /// Which events of [`abi::fs::poll`] hold now.
    fn poll(&self) -> u32;

    /// bind(2).
    ///
    /// # Errors
    ///
    /// As bind(2).
    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno>;

    /// listen(2).
    ///
    /// # Errors
    ///
    /// As listen(2).
    fn listen(&self, cx: &Ctx<'_>, backlog: usize) -> Result<(), Errno> {
        let _ = (cx, backlog);
        Err(Errno::EOPNOTSUPP)
    }

    /// accept(2): the connection that has waited longest.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if none waits.
    fn accept(&self, cx: &Ctx<'_>) -> Result<Arc<dyn Transport>, Errno> {
        let _ = cx;
        Err(Errno::EOPNOTSUPP)
    }

    /// connect(2).
    ///
    /// # Errors
    ///
    /// As connect(2).
    fn connect(&self, cx: &Ctx<'_>, addr: &Address, patience: Patience) -> Result<(), Errno>;

    /// send(2): as much as there is room for, or one whole message.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is no room; `Outgoing::busy` tells where, if not here.
    fn send(&self, cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno>;

    /// True if it has room for one more message of another socket.
    fn has_room(&self) -> bool {
        true
    }

    /// recv(2): what is there, or one message.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if nothing is there.
    fn recv(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno>;

    /// True if it carries bytes without bounds between messages.
    fn is_stream(&self) -> bool {
        false
    }

    /// shutdown(2).
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if it is not connected.
    fn shutdown(&self, cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno>;

    /// getsockname(2).
    fn local(&self) -> Address;

    /// getpeername(2).
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    fn peer(&self) -> Result<Address, Errno>;

    /// Takes the pending error (`SO_ERROR`).
    fn take_error(&self) -> Option<Errno> {
        None
    }

    /// True if it listens (`SO_ACCEPTCONN`).
    fn listening(&self) -> bool {
        false
    }

    /// Who the peer was when it connected or listened (`SO_PEERCRED`).
    fn peer_credentials(&self) -> Option<Ucred> {
        None
    }

    /// Bytes that a read would find (`FIONREAD`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if it listens.
    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    /// Bytes that the peer has not read yet (`SIOCOUTQ`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if it listens.
    fn unsent_bytes(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    /// State for `TCP_INFO`.
    fn tcp_state(&self) -> u8 {
        abi::socket::tcp_state::TCP_CLOSE
    }

    /// The last descriptor is closed.
    fn release(&self, cx: &Ctx<'_>);

    /// Calls `visit` for each descriptor in flight to this socket.
    fn visit_rights(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        let _ = visit;
    }

    /// Takes out all descriptors in flight to this socket, which nobody will ever receive.
    fn take_rights(&self) -> Vec<Arc<OpenFile>> {
        Vec::new()
    }

    /// True for a Unix socket: the only kind that can hold others in flight.
    fn is_unix(&self) -> bool {
        false
    }
}
