//! Files of the host, held without being open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use p9::{Qid, QidKind};
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;

/// A file named by an `O_PATH` descriptor.
#[derive(Debug)]
pub(crate) struct Node {
    fd: OwnedFd,
    kind: FileType,
}

impl Node {
    /// Takes over an `O_PATH` descriptor; also tells what the file is like.
    pub(crate) fn new(fd: OwnedFd) -> Result<(Self, Statx), Errno> {
        let status = status(fd.as_fd())?;
        Ok((Self { fd, kind: kind_of(&status) }, status))
    }

    /// The kind of file: it never changes.
    pub(crate) fn kind(&self) -> FileType {
        self.kind
    }

    /// Attributes as they are now.
    pub(crate) fn status(&self) -> Result<Statx, Errno> {
        status(self.as_fd())
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Attributes of the file of a descriptor.
pub(crate) fn status(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(fd, c"", flags, WANTED)
}

/// Attributes of `name` in a directory.
pub(crate) fn status_at(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Statx, Errno> {
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, WANTED)
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// The kind of file in a status.
pub(crate) fn kind_of(status: &Statx) -> FileType {
    FileType::from_raw_mode(status.stx_mode.into())
}

/// The kind bits of a qid.
pub(crate) fn qid_kind(kind: FileType) -> QidKind {
    match kind {
        FileType::Directory => QidKind::DIR,
        FileType::Symlink => QidKind::SYMLINK,
        _ => QidKind::empty(),
    }
}

/// Numbers for the host file systems of a tree, so that qid paths of different ones differ.
#[derive(Debug, Default)]
pub(crate) struct Devices(Vec<(u32, u32)>);

impl Devices {
    /// The number of a device: the one first asked for has 0, and all after the 255th share one.
    fn index(&mut self, device: (u32, u32)) -> u64 {
        let known = self.0.iter().position(|known| *known == device);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() && self.0.len() < 255 {
            self.0.push(device);
        }
        u64::try_from(index).unwrap_or(255)
    }

    /// A number unique in the tree for inode `ino` of `device`. On the root's file system it is `ino`.
    pub(crate) fn path(&mut self, device: (u32, u32), ino: u64) -> u64 {
        ino ^ (self.index(device) << 56)
    }

    /// The qid of a file. The version follows the change time, which every change moves.
    pub(crate) fn qid(&mut self, status: &Statx) -> Qid {
        let nanos = status.stx_ctime.tv_sec.wrapping_mul(1_000_000_000).unsigned_abs();
        let nanos = nanos.wrapping_add(status.stx_ctime.tv_nsec.into());
        let [a, b, c, d, ..] = nanos.to_le_bytes();
        Qid {
            kind: qid_kind(kind_of(status)),
            version: u32::from_le_bytes([a, b, c, d]),
            path: self.path((status.stx_dev_major, status.stx_dev_minor), status.stx_ino),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_inode_numbers_of_two_file_systems_have_different_paths() {
        let mut devices = Devices::default();
        assert_eq!(devices.path((8, 1), 42), 42);
        let other = devices.path((8, 2), 42);
        assert_ne!(other, 42);
        assert_eq!(devices.path((8, 2), 42), other);
        assert_eq!(devices.path((8, 1), 42), 42);
        for minor in 0..1000 {
            devices.path((9, minor), 1);
        }
        assert_eq!(devices.0.len(), 255);
    }
}
