//! What the Gofer is given, and how it can fail as a whole.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// Everything that the Gofer works with.
#[derive(Debug)]
pub struct Config {
    /// The trees to serve.
    pub attaches: Vec<Attach>,
    /// `/proc/self/fd`, opened by this process: how an `O_PATH` descriptor is opened for real.
    pub proc_fd: OwnedFd,
    /// Bounds.
    pub limits: Limits,
    /// Give up capabilities and all files outside the attaches (by Landlock, where the host has it), and
    /// install the system-call filter, before serving. It is for the whole
    /// process and for good.
    pub confine: bool,
}

/// A tree and the socket over which it is served.
#[derive(Debug)]
pub struct Attach {
    /// What `Tattach` calls it (there, an empty name and `/` mean it too).
    pub name: String,
    /// `O_PATH` descriptor of the root: a directory, or a single file.
    pub root: OwnedFd,
    /// Refuse every change.
    pub readonly: bool,
    /// Our end of a connected stream socket.
    pub socket: OwnedFd,
}

/// Bounds of each connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest message agreed to.
    pub msize: u32,
    /// Most fids at a time.
    pub fids: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { msize: p9::MAX_MSIZE, fids: 1 << 16 }
    }
}

/// Why the Gofer can't serve at all.
#[derive(Debug, thiserror::Error)]
pub enum GoferError {
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A root can't be looked at.
    #[error("cannot use the root of {name:?}")]
    Root {
        /// Which attach.
        name: String,
        /// Why.
        #[source]
        cause: Errno,
    },
    /// Landlock is there but can't be used.
    #[error("cannot close off the rest of the file system")]
    Landlock(#[source] landlock::RulesetError),
    /// Capabilities can't be given up.
    #[error("cannot give up capabilities")]
    Capabilities(#[source] Errno),
    /// The filter can't be installed.
    #[error("cannot install the system-call filter")]
    Filter(#[source] seccompiler::Error),
}
