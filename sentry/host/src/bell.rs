//! An eventfd that tells a host thread to look.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    event::{EventfdFlags, eventfd},
    io,
};

/// A bell: rung by anybody, watched with poll(2) by a host thread that then reads 8 bytes from it.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Makes one (eventfd2); before the filter is set.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new() -> io::Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
    }

    /// Rings it (write). Never waits.
    pub fn ring(&self) {
        let _ = io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
