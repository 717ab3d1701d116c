//! Values that several messages share.

use crate::wire::wire_struct;
use crate::{AttrMask, OpenFlags, QidKind, SetAttrMask, Str};

wire_struct! {
    /// A server's identity of a file: equal paths mean the same file.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    Qid {
        /// Kind of file.
        kind: QidKind,
        /// Changes when the file changes.
        version: u32,
        /// Unique among the files of the session.
        path: u64,
    }
}

wire_struct! {
    /// A point in time.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    Time {
        /// Seconds since 1970, negative before.
        sec: i64,
        /// Nanoseconds of the second.
        nsec: u64,
    }
}

wire_struct! {
    /// Attributes of a file, as `Rgetattr` has them.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    Attr {
        /// Which of the following are true.
        valid: AttrMask,
        /// Identity.
        qid: Qid,
        /// Type and permission bits, as `st_mode`.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Number of hard links.
        nlink: u64,
        /// Device number, as `st_rdev`.
        rdev: u64,
        /// Length in bytes.
        size: u64,
        /// Preferred unit of input and output.
        blksize: u64,
        /// Blocks of 512 bytes.
        blocks: u64,
        /// Last access.
        atime: Time,
        /// Last change of the contents.
        mtime: Time,
        /// Last change of anything.
        ctime: Time,
        /// Creation.
        btime: Time,
        /// Inode generation.
        generation: u64,
        /// Changes with the contents.
        data_version: u64,
    }
}

wire_struct! {
    /// New attributes, as `Tsetattr` has them.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    SetAttr {
        /// Which of the following count.
        valid: SetAttrMask,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Length in bytes.
        size: u64,
        /// Last access.
        atime: Time,
        /// Last change of the contents.
        mtime: Time,
    }
}

wire_struct! {
    /// Figures of a file system, as `Rstatfs` has them.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    StatFs {
        /// Magic number of its type.
        kind: u32,
        /// Block size.
        bsize: u32,
        /// Blocks.
        blocks: u64,
        /// Free blocks.
        bfree: u64,
        /// Free blocks that anybody may use.
        bavail: u64,
        /// Inodes.
        files: u64,
        /// Free inodes.
        ffree: u64,
        /// Identity.
        fsid: u64,
        /// Longest name.
        namelen: u32,
    }
}

wire_struct! {
    /// An entry of a directory.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    Dirent {
        /// Identity of the file.
        qid: Qid,
        /// Where the next entry is: what to ask for to go on after this one.
        offset: u64,
        /// File type, as `d_type`.
        kind: u8,
        /// Name.
        name: Str,
    }
}

wire_struct! {
    /// An entry of a directory with the attributes of its file (extension).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    DirentPlus {
        /// Where the next entry is: what to ask for to go on after this one.
        offset: u64,
        /// Name.
        name: Str,
        /// Attributes.
        attr: Attr,
    }
}

wire_struct! {
    /// One step of `Twalkx` (extension).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    WalkStep {
        /// Name to look up.
        name: Str,
        /// Fid for what it leads to, or `NOFID`.
        newfid: u32,
    }
}

wire_struct! {
    /// How to open what a request reached (extension).
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    OpenHow {
        /// Fid for the open file, or `NOFID`.
        newfid: u32,
        /// Access and modifiers.
        flags: OpenFlags,
        /// True if a regular file's descriptor shall come with the answer.
        donate: bool,
    }
}

wire_struct! {
    /// How an open inside another request ended (extension).
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    Opened {
        /// 0, or why it failed, as a Linux error number.
        ecode: u32,
        /// Largest read or write that is one host operation; 0 if the message size is the only limit.
        iounit: u32,
        /// True if the descriptor comes with this answer.
        fd: bool,
    }
}
