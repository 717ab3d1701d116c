//! Signals of the host to the sandbox process, read as data.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;

use crate::sandbox::spawn::signal_fd;

/// Passed on to the container's first process: somebody signals the container by its host pid.
const FORWARDED: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Writes a dump of all tasks to the log.
const DUMP: i32 = libc::SIGUSR1;

/// Size of `signalfd_siginfo` (signalfd(2)).
const RECORD: usize = 128;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Pass it on.
    Forward(i32),
    /// Describe all tasks.
    Dump,
    /// The container's terminal has a new size.
    Resize,
}

/// The signals that are not delivered but read.
#[derive(Debug)]
pub(super) struct Signals(OwnedFd);

/// Blocks the signals for this thread and all that it makes.
pub(super) fn block() -> Result<Signals> {
    let others = [DUMP, libc::SIGWINCH];
    Ok(Signals(signal_fd(&[&FORWARDED[..], &others].concat())?))
}

impl Signals {
    /// The next one that came.
    pub(super) fn next(&self) -> Option<Wish> {
        let mut record = [0; RECORD];
        match rustix::io::read(&self.0, &mut record) {
            Ok(RECORD) => {}
            _ => return None,
        }
        let number = record.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))?;
        Some(match number {
            DUMP => Wish::Dump,
            libc::SIGWINCH => Wish::Resize,
            number => Wish::Forward(number),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
