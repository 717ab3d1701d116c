//! Bit sets of the protocol. Unknown bits are kept: the receiver decides what it refuses.

use alloc::vec::Vec;

use crate::{CodecError, Reader, Wire};

bitflags::bitflags! {
    /// What kind of file a [`Qid`](crate::Qid) names.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct QidKind: u8 {
        /// A directory.
        const DIR = 0x80;
        /// A symbolic link.
        const SYMLINK = 0x02;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Which fields of an [`Attr`](crate::Attr) are asked for or given (`P9_STATS_*`).
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct AttrMask: u64 {
        /// Type and permission bits.
        const MODE = 0x1;
        /// Number of hard links.
        const NLINK = 0x2;
        /// Owner.
        const UID = 0x4;
        /// Group.
        const GID = 0x8;
        /// Device number of a device file.
        const RDEV = 0x10;
        /// Time of the last access.
        const ATIME = 0x20;
        /// Time of the last change of the contents.
        const MTIME = 0x40;
        /// Time of the last change of anything.
        const CTIME = 0x80;
        /// Inode number.
        const INO = 0x100;
        /// Length in bytes.
        const SIZE = 0x200;
        /// Blocks of 512 bytes.
        const BLOCKS = 0x400;
        /// Time of creation.
        const BTIME = 0x800;
        /// Inode generation.
        const GEN = 0x1000;
        /// A number that changes with the contents.
        const DATA_VERSION = 0x2000;
        /// What stat(2) gives.
        const BASIC = 0x7ff;
        /// All of them.
        const ALL = 0x3fff;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Which fields of a [`SetAttr`](crate::SetAttr) count (`P9_ATTR_*`).
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct SetAttrMask: u32 {
        /// Permission bits.
        const MODE = 0x1;
        /// Owner.
        const UID = 0x2;
        /// Group.
        const GID = 0x4;
        /// Length in bytes.
        const SIZE = 0x8;
        /// Access time: the server's now, unless `ATIME_SET`.
        const ATIME = 0x10;
        /// Modification time: the server's now, unless `MTIME_SET`.
        const MTIME = 0x20;
        /// Change time to the server's now.
        const CTIME = 0x40;
        /// Access time as given.
        const ATIME_SET = 0x80;
        /// Modification time as given.
        const MTIME_SET = 0x100;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// How a file is opened (`P9_DOTL_*`): Linux's numbers on x86, whatever the machine is.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// For writing only.
        const WRONLY = 0o1;
        /// For reading and writing.
        const RDWR = 0o2;
        /// Make the file if there is none.
        const CREATE = 0o100;
        /// Fail if there is one.
        const EXCL = 0o200;
        /// Don't make a terminal the controlling one.
        const NOCTTY = 0o400;
        /// Cut to length 0.
        const TRUNC = 0o1000;
        /// Each write goes to the end.
        const APPEND = 0o2000;
        /// Don't wait.
        const NONBLOCK = 0o4000;
        /// Writes wait for the data to be stored.
        const DSYNC = 0o10000;
        /// Signals on readiness.
        const FASYNC = 0o20000;
        /// Around the page cache.
        const DIRECT = 0o40000;
        /// Offsets of 64 bits.
        const LARGEFILE = 0o100_000;
        /// Fail if it is no directory.
        const DIRECTORY = 0o200_000;
        /// Fail if it is a symbolic link.
        const NOFOLLOW = 0o400_000;
        /// Leave the access time alone.
        const NOATIME = 0o1_000_000;
        /// Close on exec.
        const CLOEXEC = 0o2_000_000;
        /// Writes wait for data and metadata to be stored (with `DSYNC`).
        const SYNC = 0o4_000_000;
        /// A file without a name (with `DIRECTORY`; extension).
        const TMPFILE = 0o20_000_000;
        const _ = !0;
    }
}

impl OpenFlags {
    /// True if the file is opened for reading.
    #[must_use]
    pub fn reads(self) -> bool {
        !self.contains(Self::WRONLY)
    }

    /// True if the file is opened for writing.
    #[must_use]
    pub fn writes(self) -> bool {
        self.intersects(Self::WRONLY | Self::RDWR)
    }
}

/// Values of the type byte of a lock (`P9_LOCK_TYPE_*`).
pub mod lock_kind {
    /// Shared.
    pub const READ: u8 = 0;
    /// Exclusive.
    pub const WRITE: u8 = 1;
    /// None.
    pub const UNLOCK: u8 = 2;
}

/// How `Tlock` ended (`P9_LOCK_*`).
pub mod lock_status {
    /// The lock is held.
    pub const SUCCESS: u8 = 0;
    /// Another holds it.
    pub const BLOCKED: u8 = 1;
    /// It failed.
    pub const ERROR: u8 = 2;
    /// The server is in its grace period.
    pub const GRACE: u8 = 3;
}

macro_rules! wire_flags {
    ($($name:ident: $bits:ty),*) => {$(
        impl Wire for $name {
            const MIN: usize = size_of::<$bits>();

            fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
                self.bits().put(out)
            }

            fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
                <$bits>::get(input).map(Self::from_bits_retain)
            }
        }

        #[cfg(test)]
        impl crate::sample::Sample for $name {
            fn sample(from: &mut crate::sample::Bits) -> Self {
                Self::from_bits_retain(crate::sample::Sample::sample(from))
            }
        }
    )*};
}
wire_flags!(QidKind: u8, AttrMask: u64, SetAttrMask: u32, OpenFlags: u32);
