//! Drivers and names.

use std::sync::Arc;

use abi::{Errno, fs::make_dev};
use vfs::{Ctx, Inode, Name, NewNode};

use super::file::{Kind, MemoryDevice};
use crate::{DeviceKind, Shared};

/// Minor numbers of the memory devices, whose major is 1 (devices.txt of Linux).
const MEMORY: [(u32, Kind); 5] =
    [(3, Kind::Null), (5, Kind::Zero), (7, Kind::Full), (8, Kind::Random), (9, Kind::Random)];

/// Character devices: name and number. Everybody may use them.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Symbolic links: name and target.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Directories: name and permission bits.
const DIRECTORIES: [(&str, u32); 3] = [("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)];

/// Puts the memory devices behind their numbers.
pub fn register(shared: &Shared) {
    for (minor, kind) in MEMORY {
        let driver = Arc::new(MemoryDevice::new(kind, shared));
        shared.devices().register(DeviceKind::Char, make_dev(1, minor), driver);
    }
}

/// Makes the usual entries in `root`, an empty directory of a tmpfs; `console` says whether
/// there is a terminal. A name that is taken stays as it is.
///
/// # Errors
///
/// What the file system says.
pub fn populate(cx: &Ctx<'_>, root: &Arc<dyn Inode>, console: bool) -> Result<(), Errno> {
    for (name, major, minor) in DEVICES {
        make(cx, root, name, NewNode::CharDevice(make_dev(major, minor)), 0o666)?;
    }
    if console {
        make(cx, root, "console", NewNode::CharDevice(make_dev(5, 1)), 0o600)?;
    }
    for (name, target) in LINKS {
        make(cx, root, name, NewNode::Symlink(target.as_bytes()), 0o777)?;
    }
    for (name, mode) in DIRECTORIES {
        make(cx, root, name, NewNode::Dir, mode)?;
    }
    Ok(())
}

fn make(
    cx: &Ctx<'_>,
    root: &Arc<dyn Inode>,
    name: &str,
    node: NewNode<'_>,
    mode: u32,
) -> Result<(), Errno> {
    match root.create(cx, &Name::new(name.as_bytes())?, node, mode) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}
