//! What a server answers. Field names are the protocol's own.
#![expect(
    missing_docs,
    reason = "the fields of a message are said in its doc line and in intro(5)"
)]

use alloc::vec::Vec;

use crate::message::messages;
use crate::{Attr, Data, Dirent, DirentPlus, Opened, Packed, Qid, StatFs, Str};

messages! {
    /// An answer of a server.
    RMessage;

    /// The request failed with this Linux error number.
    7 Lerror Rlerror { ecode: u32 }

    // 9P2000.
    /// Message size and version granted.
    101 Version Rversion { msize: u32, version: Str }
    /// The authentication file.
    103 Auth Rauth { aqid: Qid }
    /// The root.
    105 Attach Rattach { qid: Qid }
    /// The old request has been answered or never will be.
    109 Flush Rflush {}
    /// One for each name walked; fewer than asked if the walk ended early, and then no fid is bound.
    111 Walk Rwalk { wqids: Vec<Qid> }
    /// What was read.
    117 Read Rread { data: Data }
    /// How much was written.
    119 Write Rwrite { count: u32 }
    /// Forgotten.
    121 Clunk Rclunk {}
    /// Removed.
    123 Remove Rremove {}

    // 9P2000.L.
    /// The figures.
    9 Statfs Rstatfs { stat: StatFs }
    /// Open.
    13 Lopen Rlopen { qid: Qid, iounit: u32 }
    /// Made and open.
    15 Lcreate Rlcreate { qid: Qid, iounit: u32 }
    /// Made.
    17 Symlink Rsymlink { qid: Qid }
    /// Made.
    19 Mknod Rmknod { qid: Qid }
    /// Moved.
    21 Rename Rrename {}
    /// Where it leads.
    23 Readlink Rreadlink { target: Str }
    /// The attributes.
    25 Getattr Rgetattr { attr: Attr }
    /// Changed.
    27 Setattr Rsetattr {}
    /// Length of the attribute or the list.
    31 Xattrwalk Rxattrwalk { size: u64 }
    /// Ready to be written.
    33 Xattrcreate Rxattrcreate {}
    /// The next entries; none at the end.
    41 Readdir Rreaddir { entries: Packed<Dirent> }
    /// Stored.
    51 Fsync Rfsync {}
    /// How it ended.
    53 Lock Rlock { status: u8 }
    /// The lock in the way.
    55 Getlock Rgetlock { kind: u8, start: u64, length: u64, proc_id: u32, client_id: Str }
    /// Made.
    71 Link Rlink {}
    /// Made.
    73 Mkdir Rmkdir { qid: Qid }
    /// Moved.
    75 Renameat Rrenameat {}
    /// Removed.
    77 Unlinkat Runlinkat {}

    // The extension.
    /// Attributes of each element reached; the fids of those steps are bound. `ecode` says why the next
    /// step failed (0 if none did). If the last element is a symbolic link, the walk ended there and
    /// `target` is where it leads. `opened` is there if the walk reached its end and was to open it.
    131 Walkx Rwalkx { attrs: Vec<Attr>, ecode: u32, target: Str, opened: Option<Opened> }
    /// Open: attributes after opening.
    133 Openx Ropenx { attr: Attr, opened: Opened }
    /// Made (or found, if `created` is false) and opened: `opened` may say that the opening failed.
    135 Createx Rcreatex { attr: Attr, created: bool, opened: Opened }
    /// Made.
    137 Mkdirx Rmkdirx { attr: Attr }
    /// Made.
    139 Symlinkx Rsymlinkx { attr: Attr }
    /// Made.
    141 Mknodx Rmknodx { attr: Attr }
    /// Moved.
    143 Renamex Rrenamex {}
    /// The next entries, without `.` and `..`; none at the end.
    145 Readdirx Rreaddirx { entries: Packed<DirentPlus> }
    /// Forgotten.
    147 Clunkx Rclunkx {}
    /// Done.
    149 Allocatex Rallocatex {}
    /// The attribute.
    151 Getxattrx Rgetxattrx { value: Data }
    /// Set.
    153 Setxattrx Rsetxattrx {}
    /// The names.
    155 Listxattrx Rlistxattrx { names: Vec<Str> }
    /// Removed.
    157 Removexattrx Rremovexattrx {}
}

impl RMessage {
    /// An error answer.
    #[must_use]
    pub fn error(ecode: u32) -> Self {
        Self::Lerror(Rlerror { ecode })
    }

    /// True if one descriptor comes with the first byte of this frame (`SCM_RIGHTS`).
    #[must_use]
    pub fn carries_fd(&self) -> bool {
        match self {
            Self::Walkx(reply) => reply.opened.is_some_and(|opened| opened.fd),
            Self::Openx(reply) => reply.opened.fd,
            Self::Createx(reply) => reply.opened.fd,
            _ => false,
        }
    }
}
