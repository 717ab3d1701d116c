//! What a sandbox process is told.

use std::os::fd::RawFd;
use std::path::PathBuf;

use control::Process;
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::spec::Mount;

/// The container to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BootConfig {
    /// Its name, for logs.
    pub(crate) id: String,
    /// Any folder of the host; the empty root is stacked on it.
    pub(crate) base: PathBuf,
    /// Host name inside.
    pub(crate) hostname: String,
    /// No writing to the root.
    pub(crate) root_readonly: bool,
    /// Changes to the root stay in memory.
    pub(crate) root_overlay: bool,
    /// Mounts, in order.
    pub(crate) mounts: Vec<Mount>,
    /// The first process.
    pub(crate) process: Process,
    /// Paths that show nothing inside.
    pub(crate) masked_paths: Vec<String>,
    /// Paths that can't be written inside.
    pub(crate) readonly_paths: Vec<String>,
    /// Bytes of memory for the container.
    pub(crate) memory_limit: Option<u64>,
    /// Flags.
    pub(crate) options: Options,
    /// The descriptors that were handed down.
    pub(crate) numbers: Numbers,
}

/// Numbers of inherited descriptors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// The control socket, listening.
    pub(crate) listener: RawFd,
    /// Pidfd of the Gofer.
    pub(crate) gofer: RawFd,
    /// The Gofer ends when this is closed.
    pub(crate) lifeline: RawFd,
    /// Where the report of a panic goes.
    pub(crate) crash: RawFd,
    /// Where log lines go.
    pub(crate) log: Option<RawFd>,
    /// Stdin, stdout, stderr of the first process, unless it has a terminal.
    pub(crate) stdio: Vec<RawFd>,
    /// The slave of its host pty.
    pub(crate) terminal: Option<RawFd>,
    /// State and pages of a saved sandbox, if it goes on from one.
    pub(crate) image: Vec<RawFd>,
    /// Sockets to the Gofer: the root, then the bind mounts in their order.
    pub(crate) files: Vec<RawFd>,
}
