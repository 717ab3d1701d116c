//! What a container is made of.

use std::os::fd::OwnedFd;

use control::Process;

/// A container to be made.
#[derive(Debug)]
pub struct Config {
    /// Host name inside.
    pub hostname: String,
    /// The root file system.
    pub root: RootFs,
    /// Further mounts, in order.
    pub mounts: Vec<Mount>,
    /// Paths that show nothing inside.
    pub masked_paths: Vec<String>,
    /// Paths that can't be written inside.
    pub readonly_paths: Vec<String>,
    /// The first process.
    pub process: Process,
    /// Where it reads and writes.
    pub stdio: Stdio,
    /// How many executors run it.
    pub executors: usize,
    /// Most bytes of application memory.
    pub memory_limit: Option<u64>,
    /// Print every system call.
    pub strace: bool,
}

/// The root file system.
#[derive(Debug)]
pub struct RootFs {
    /// Socket to the Gofer that serves it.
    pub socket: OwnedFd,
    /// No writing.
    pub readonly: bool,
    /// Where changes go.
    pub overlay: Overlay,
}

/// Where changes to the root file system go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// To the host's files.
    None,
    /// To memory, gone with the container.
    Memory,
}

/// One mount.
#[derive(Debug)]
pub struct Mount {
    /// Where, absolute inside.
    pub destination: String,
    /// What.
    pub kind: MountKind,
    /// No writing through it.
    pub readonly: bool,
    /// Options of the file system and the generic ones (`nosuid`, `nodev`, `noexec`, `noatime`).
    pub options: Vec<String>,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountKind {
    /// Files of the host, served by a Gofer over this socket. A bind mount of a single file is
    /// an attach whose root is no directory.
    Gofer(OwnedFd),
    /// Memory.
    Tmpfs,
    /// Processes.
    Proc,
    /// Kernel objects.
    Sysfs,
    /// Device nodes.
    Dev,
    /// Pseudo-terminals.
    Devpts,
    /// Message queues.
    Mqueue,
    /// Control groups.
    Cgroup,
}

/// Where a process reads and writes.
#[derive(Debug)]
pub enum Stdio {
    /// Standard input, output and error of the host.
    Fds([OwnedFd; 3]),
    /// The slave of a host pty; it is relayed to a terminal inside.
    Terminal(OwnedFd),
}

/// A container that goes on where a saved one was.
#[derive(Debug)]
pub struct LoadConfig {
    /// Sockets to the Gofers of the root and of the bind mounts, in their order.
    pub gofers: Vec<OwnedFd>,
    /// Where the container reads and writes.
    pub stdio: Stdio,
    /// How many executors run it.
    pub executors: usize,
    /// Print every system call.
    pub strace: bool,
    /// The kernel's state.
    pub state: OwnedFd,
    /// The memory.
    pub pages: OwnedFd,
}
