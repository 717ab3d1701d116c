//! Opening the file that a node names.

use std::os::fd::OwnedFd;

use p9::OpenFlags;
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::node::Node;

/// `/proc/self/fd`: there, the number of a descriptor is a path to its very file.
#[derive(Debug)]
pub(crate) struct ProcFd(pub(crate) OwnedFd);

impl ProcFd {
    /// Opens the file of `node` itself, whatever its names are by now.
    ///
    /// Only regular files and directories are ever opened: opening a device or a pipe of the host can
    /// wait, and can do something.
    pub(crate) fn open(&self, node: &Node, flags: OFlags) -> Result<OwnedFd, Errno> {
        match node.kind() {
            FileType::RegularFile if flags.contains(OFlags::DIRECTORY) => Err(Errno::NOTDIR),
            FileType::RegularFile | FileType::Directory => {
                let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
                openat(&self.0, DecInt::from_fd(node), flags, Mode::empty())
            }
            FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NXIO),
        }
    }

    /// The path to the file of `node`, from this directory.
    pub(crate) fn path(node: &Node) -> DecInt {
        DecInt::from_fd(node)
    }

    /// An `O_PATH` descriptor of an open file, which then keeps nobody from running it.
    pub(crate) fn path_of(&self, file: &OwnedFd) -> Result<OwnedFd, Errno> {
        openat(&self.0, DecInt::from_fd(file), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    }
}

/// What of a client's flags is meant for the host. The protocol's numbers are not always the host's;
/// creation is a request of its own, and links are never followed anyway.
pub(crate) fn host_flags(flags: OpenFlags) -> Result<OFlags, Errno> {
    let access = match (flags.contains(OpenFlags::WRONLY), flags.contains(OpenFlags::RDWR)) {
        (false, false) => OFlags::RDONLY,
        (true, false) => OFlags::WRONLY,
        (false, true) => OFlags::RDWR,
        (true, true) => return Err(Errno::INVAL),
    };
    let pairs = [
        (OpenFlags::TRUNC, OFlags::TRUNC),
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::NONBLOCK, OFlags::NONBLOCK),
        (OpenFlags::DSYNC, OFlags::DSYNC),
        (OpenFlags::SYNC, OFlags::SYNC),
        (OpenFlags::DIRECT, OFlags::DIRECT),
        (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
        (OpenFlags::NOATIME, OFlags::NOATIME),
    ];
    let chosen = pairs.iter().filter(|(asked, _)| flags.contains(*asked));
    Ok(chosen.fold(access, |all, (_, host)| all | *host))
}

/// True if opening with `flags` can change the file.
pub(crate) fn changes(flags: OpenFlags) -> bool {
    flags.writes() || flags.contains(OpenFlags::TRUNC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_reach_the_host_with_its_own_numbers_and_no_others() {
        let flags = OpenFlags::RDWR | OpenFlags::APPEND | OpenFlags::DSYNC;
        assert_eq!(host_flags(flags), Ok(OFlags::RDWR | OFlags::APPEND | OFlags::DSYNC));
        let dropped = OpenFlags::CREATE | OpenFlags::EXCL | OpenFlags::NOFOLLOW | OpenFlags::FASYNC;
        assert_eq!(host_flags(dropped), Ok(OFlags::RDONLY));
        assert_eq!(host_flags(OpenFlags::WRONLY | OpenFlags::RDWR), Err(Errno::INVAL));
        assert!(changes(OpenFlags::TRUNC) && changes(OpenFlags::WRONLY));
        assert!(!changes(OpenFlags::APPEND | OpenFlags::DIRECTORY));
    }
}
