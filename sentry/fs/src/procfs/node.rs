//! What can be found in a procfs.

use kernel::Pid;

use super::{global, process, sys};

/// A file, directory or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Node {
    /// `/proc`.
    Root,
    /// `/proc/self`, `/proc/thread-self`, `/proc/mounts`: links by their text.
    OwnLink(OwnLink),
    /// `/proc/PID`, or `/proc/PID/task/TID` if `thread`.
    Task { pid: Pid, thread: bool },
    /// `/proc/PID/task`.
    Threads(Pid),
    /// `/proc/PID/fd`.
    Fds(Pid),
    /// `/proc/PID/fdinfo`.
    FdInfos(Pid),
    /// `/proc/PID/fd/N`.
    Fd(Pid, i32),
    /// `/proc/PID/fdinfo/N`.
    FdInfo(Pid, i32),
    /// `/proc/PID/exe`, `cwd`, `root`.
    Place(Pid, Place),
    /// A file about a task.
    OfTask(Pid, process::Kind),
    /// A file about the system.
    Global(global::Kind),
    /// A directory below `/proc/sys`, by the number of its line.
    SysDir(usize),
    /// A file below `/proc/sys`.
    SysFile(sys::Kind),
    /// `/proc/PID/net`.
    Net(Pid),
    /// `/proc/PID/ns`.
    Namespaces(Pid),
    /// `/proc/PID/ns/NAME`.
    Namespace(Pid, NamespaceName),
}

/// A link that leads to something of the reader's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum OwnLink {
    Own,
    OwnThread,
    Mounts,
    Net,
}

/// A place that a task holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Place {
    Exe,
    Cwd,
    Root,
}

/// One of [`NAMESPACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamespaceName(pub(super) &'static str);

state::savable_as! {
    NamespaceName as u8,
        |name| (0..).zip(NAMESPACES).find(|(_, other)| *other == name.0).map_or(0, |(at, _)| at),
        |at| NAMESPACES.get(usize::from(at)).copied().map(NamespaceName),
        "no such namespace";
}

/// Namespaces that are shown.
pub(super) const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

impl Node {
    /// A number that no other node has (of a task with a number below 2^22).
    pub(super) fn ino(self) -> u64 {
        let of = |pid: Pid, local: u64| (u64::from(pid.0) + 1) << 32 | local;
        let fd = |fd: i32| u64::from(fd.unsigned_abs());
        match self {
            Self::Root => 1,
            Self::OwnLink(link) => 2 + link as u64,
            Self::Global(kind) => 0x100 + kind as u64,
            Self::SysDir(line) => 0x1000 + line as u64,
            Self::SysFile(kind) => 0x2000 + kind as u64,
            Self::Task { pid, thread: false } => of(pid, 1),
            Self::Task { pid, thread: true } => of(pid, 2),
            Self::Threads(pid) => of(pid, 3),
            Self::Fds(pid) => of(pid, 4),
            Self::FdInfos(pid) => of(pid, 5),
            Self::Net(pid) => of(pid, 6),
            Self::Namespaces(pid) => of(pid, 7),
            Self::Place(pid, place) => of(pid, 0x10 + place as u64),
            Self::OfTask(pid, kind) => of(pid, 0x20 + kind as u64),
            Self::Namespace(_, name) => {
                let at = NAMESPACES.iter().position(|other| *other == name.0).unwrap_or(0);
                0xf000_0000 + at as u64
            }
            Self::Fd(pid, number) => of(pid, 0x1_0000_0000_u64 >> 1 | fd(number)),
            Self::FdInfo(pid, number) => of(pid, 0x4000_0000 | fd(number)),
        }
    }

    /// Type and permission bits.
    pub(super) fn mode(self) -> u32 {
        use abi::fs::mode::{S_IFDIR, S_IFLNK, S_IFREG};
        match self {
            Self::Root | Self::Task { .. } | Self::Threads(_) | Self::SysDir(_) | Self::Net(_) => {
                S_IFDIR | 0o555
            }
            Self::Namespaces(_) => S_IFDIR | 0o511,
            Self::Fds(_) | Self::FdInfos(_) => S_IFDIR | 0o500,
            Self::OwnLink(_) | Self::Place(..) | Self::Namespace(..) => S_IFLNK | 0o777,
            Self::Fd(..) => S_IFLNK | 0o700,
            Self::FdInfo(..) => S_IFREG | 0o400,
            Self::OfTask(_, kind) => S_IFREG | kind.mode(),
            Self::Global(_) => S_IFREG | 0o444,
            Self::SysFile(kind) => S_IFREG | kind.mode(),
        }
    }

    /// The task it is about; its owner owns the node.
    pub(super) fn pid(self) -> Option<Pid> {
        match self {
            Self::Task { pid, .. }
            | Self::Threads(pid)
            | Self::Fds(pid)
            | Self::FdInfos(pid)
            | Self::Net(pid)
            | Self::Namespaces(pid)
            | Self::Namespace(pid, _)
            | Self::Fd(pid, _)
            | Self::FdInfo(pid, _)
            | Self::Place(pid, _)
            | Self::OfTask(pid, _) => Some(pid),
            _ => None,
        }
    }
}
