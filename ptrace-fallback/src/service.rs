//! The Sentry's end of a space's service thread: give it orders, wait until they are done.

use std::{
    io::{IoSlice, Result as IoResult},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use platform::PlatformError;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recv, sendmsg, socketpair, sockopt,
    },
};

use crate::{
    call,
    cpu::{Cpus, Seat},
    layout::{self, fd},
    order::{ANY, BLOB, Order, OrderPages},
};

/// How long the host may take for one list. Only a stub that somebody stopped takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Files of one message at most.
pub(crate) const FILES_MAX: usize = 24;

/// The service thread does not answer any more: its stub died or broke the protocol.
#[derive(Debug)]
pub(crate) struct Lost;

impl From<Lost> for PlatformError {
    fn from(_: Lost) -> Self {
        Self::SpaceLost("its service thread does not answer")
    }
}

/// Names what the host refused.
pub(crate) fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |error| PlatformError::Host { what, source: error.into() }
}

/// A service thread to be: what the Sentry keeps, and the end of the socket that the stub gets.
pub(crate) struct Prepared {
    socket: OwnedFd,
    pages: OrderPages,
    theirs: OwnedFd,
}

impl Prepared {
    pub(crate) fn new() -> Result<Self, PlatformError> {
        let pages = OrderPages::new().map_err(refused("the order pages of a stub"))?;
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(refused("the socket of a stub"))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(refused("a time limit for a stub"))?;
        Ok(Self { socket, pages, theirs })
    }

    /// What the stub is to have as `layout::fd::ORDERS` and `layout::fd::SOCKET`.
    pub(crate) fn files(&self) -> [BorrowedFd<'_>; 2] {
        [self.pages.file(), self.theirs.as_fd()]
    }

    /// The stub `pid` has them now.
    pub(crate) fn started(self, pid: i32, cpus: &Cpus) -> Service {
        Service { socket: self.socket, pages: self.pages, seat: Seat::new(cpus.clone(), pid) }
    }
}

/// A running service thread.
#[derive(Debug)]
pub(crate) struct Service {
    socket: OwnedFd,
    pages: OrderPages,
    seat: Seat,
}

impl Service {
    /// Waits for one acknowledgement. The end of the socket means that the stub is dead.
    pub(crate) fn acknowledged(&self) -> Result<(), Lost> {
        let mut byte = [0_u8];
        loop {
            return match recv(&self.socket, &mut byte, RecvFlags::empty()) {
                Ok((1, _)) => Ok(()),
                Err(Errno::INTR) => continue,
                _ => Err(Lost),
            };
        }
    }

    /// Has one list of at most `order::LIST_MAX` orders carried out.
    pub(crate) fn execute(&mut self, orders: &[Order]) -> Result<(), Lost> {
        self.seat.follow();
        self.pages.submit(orders);
        self.acknowledged()
    }

    /// Lets a blob travel with the next list, at [`blob_address`].
    pub(crate) fn put_blob(&mut self, bytes: &[u8]) {
        self.pages.put_blob(bytes);
    }

    /// The result that [`Order::report`] told: 0 after a failed call.
    pub(crate) fn reported(&self) -> Result<i32, Lost> {
        self.pages.reported().map_err(|_| Lost)
    }

    /// Sends files and returns the orders that receive them as `layout::fd::DONATED` and up.
    ///
    /// The message header must be writable, so it is copied to a page that exists only for this
    /// call. Whatever application threads do to that page in between, they get nothing: either
    /// the files arrive under the numbers foretold, or a later order fails and ends the stub.
    pub(crate) fn send(&mut self, files: &[BorrowedFd<'_>]) -> Result<[Order; 4], Lost> {
        let files = &files[..files.len().min(FILES_MAX)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(files));
        sendmsg(&self.socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)
            .map_err(|_| Lost)?;
        let header = message_header(files.len());
        self.put_blob(&header);
        let bytes = layout::SCRATCH_BYTES as u64;
        let map = [layout::SCRATCH, bytes, 3, call::MAP_OWN, u64::MAX, 0];
        Ok([
            Order::new(call::MMAP, map, layout::SCRATCH),
            Order::copy(layout::SCRATCH, blob_address(), header.len() as u64),
            Order::new(call::RECVMSG, [fd::SOCKET, layout::SCRATCH, 0], 1),
            Order::new(call::MUNMAP, [layout::SCRATCH, bytes], 0),
        ])
    }

    /// Clones a thread or process by `flags`; returns its id, or 0 if the host refused.
    pub(crate) fn clone_thread(&mut self, flags: u64) -> Result<i32, Lost> {
        self.execute(&[Order::new(call::CLONE, [flags], ANY), Order::report()])?;
        self.reported()
    }

    /// Clones this stub into one that `child` serves; returns its pid, or 0 if the host refused.
    pub(crate) fn clone_space(&mut self, child: &Prepared) -> Result<i32, Lost> {
        let receive = self.send(&child.files())?;
        let clone = [
            Order::new(call::CLONE, [layout::CLONE_SPACE], ANY),
            Order::report(),
            Order::new(call::CLOSE, [fd::DONATED], 0),
            Order::new(call::CLOSE, [fd::DONATED + 1], 0),
        ];
        self.execute(&[receive, clone].concat())?;
        self.reported()
    }
}

/// Where a blob lies in the space.
pub(crate) fn blob_address() -> u64 {
    layout::ORDERS + BLOB as u64
}

/// `struct msghdr` for the scratch page, with one `struct iovec` behind it (recvmsg(2)).
fn message_header(files: usize) -> [u8; 72] {
    const IOVEC: u64 = layout::SCRATCH + 56;
    const DATA: u64 = layout::SCRATCH + 128;
    const CONTROL: u64 = layout::SCRATCH + 256;
    // A header of 16 bytes, then the numbers, padded to 8 bytes (cmsg(3)).
    let control_len = 16 + (4 * files as u64).next_multiple_of(8);
    let words = [0, 0, IOVEC, 1, CONTROL, control_len, 0, DATA, 1];
    let mut header = [0; 72];
    for (to, word) in header.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&u64::to_le_bytes(word));
    }
    header
}

/// For callers that talk to the host directly.
pub(crate) fn host<T>(what: &'static str, result: IoResult<T>) -> Result<T, PlatformError> {
    result.map_err(|source| PlatformError::Host { what, source })
}
