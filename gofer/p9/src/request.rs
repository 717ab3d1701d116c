//! What a client asks. Field names are the protocol's own.
#![expect(
    missing_docs,
    reason = "the fields of a message are said in its doc line and in intro(5)"
)]

use alloc::vec::Vec;

use crate::message::messages;
use crate::{AttrMask, Data, OpenFlags, OpenHow, SetAttr, Str, WalkStep};

messages! {
    /// A question of a client.
    TMessage;

    // 9P2000.
    /// Starts a session and ends the one before: message size and version wanted.
    100 Version Tversion { msize: u32, version: Str }
    /// Asks for an authentication file; never granted.
    102 Auth Tauth { afid: u32, uname: Str, aname: Str, n_uname: u32 }
    /// Binds `fid` to the root of the tree called `aname`.
    104 Attach Tattach { fid: u32, afid: u32, uname: Str, aname: Str, n_uname: u32 }
    /// Gives up on the request `oldtag`.
    108 Flush Tflush { oldtag: u16 }
    /// Goes down `wnames` from `fid` and binds `newfid` to the end.
    110 Walk Twalk { fid: u32, newfid: u32, wnames: Vec<Str> }
    /// Reads `count` bytes at `offset` of an open file.
    116 Read Tread { fid: u32, offset: u64, count: u32 }
    /// Writes `data` at `offset` of an open file.
    118 Write Twrite { fid: u32, offset: u64, data: Data }
    /// Forgets `fid`.
    120 Clunk Tclunk { fid: u32 }
    /// Removes the file of `fid` and forgets `fid`.
    122 Remove Tremove { fid: u32 }

    // 9P2000.L.
    /// Asks for the figures of the file system of `fid`.
    8 Statfs Tstatfs { fid: u32 }
    /// Opens the file of `fid`.
    12 Lopen Tlopen { fid: u32, flags: OpenFlags }
    /// Makes and opens the file `name` in the directory `fid`, which then is the file's.
    14 Lcreate Tlcreate { fid: u32, name: Str, flags: OpenFlags, mode: u32, gid: u32 }
    /// Makes the symbolic link `name` in the directory `fid`.
    16 Symlink Tsymlink { fid: u32, name: Str, symtgt: Str, gid: u32 }
    /// Makes the device, pipe or socket file `name` in the directory `dfid`.
    18 Mknod Tmknod { dfid: u32, name: Str, mode: u32, major: u32, minor: u32, gid: u32 }
    /// Moves the file of `fid` into the directory `dfid` as `name`.
    20 Rename Trename { fid: u32, dfid: u32, name: Str }
    /// Asks where the symbolic link `fid` leads.
    22 Readlink Treadlink { fid: u32 }
    /// Asks for the attributes of `fid`.
    24 Getattr Tgetattr { fid: u32, request_mask: AttrMask }
    /// Changes attributes of `fid`.
    26 Setattr Tsetattr { fid: u32, attr: SetAttr }
    /// Binds `newfid` to the extended attribute `name` of `fid`, or to the list of them if it is empty.
    30 Xattrwalk Txattrwalk { fid: u32, newfid: u32, name: Str }
    /// Makes `fid` a place to write `attr_size` bytes for the extended attribute `name`.
    32 Xattrcreate Txattrcreate { fid: u32, name: Str, attr_size: u64, flags: u32 }
    /// Lists the open directory `fid` from `offset` on, at most `count` bytes.
    40 Readdir Treaddir { fid: u32, offset: u64, count: u32 }
    /// Stores what was written to `fid` (only the data if `datasync` is not 0).
    50 Fsync Tfsync { fid: u32, datasync: u32 }
    /// Takes or drops a record lock.
    52 Lock Tlock { fid: u32, kind: u8, flags: u32, start: u64, length: u64, proc_id: u32, client_id: Str }
    /// Asks which lock is in the way of this one.
    54 Getlock Tgetlock { fid: u32, kind: u8, start: u64, length: u64, proc_id: u32, client_id: Str }
    /// Makes `name` in the directory `dfid` a further name of the file `fid`.
    70 Link Tlink { dfid: u32, fid: u32, name: Str }
    /// Makes the directory `name` in the directory `dfid`.
    72 Mkdir Tmkdir { dfid: u32, name: Str, mode: u32, gid: u32 }
    /// Moves `oldname` of `olddirfid` to `newname` of `newdirfid`.
    74 Renameat Trenameat { olddirfid: u32, oldname: Str, newdirfid: u32, newname: Str }
    /// Removes `name` from the directory `dirfid` (a directory if `flags` has `AT_REMOVEDIR`).
    76 Unlinkat Tunlinkat { dirfid: u32, name: Str, flags: u32 }

    // The extension.
    /// Goes down `steps` from `fid`, binding the fids they name, stops at the first symbolic link, and
    /// opens what is reached in the end if `open` says so.
    130 Walkx Twalkx { fid: u32, steps: Vec<WalkStep>, open: Option<OpenHow> }
    /// Opens the file of `fid`, which itself stays as it is.
    132 Openx Topenx { fid: u32, open: OpenHow }
    /// Makes the file `name` in the directory `dfid`, for `uid` and `gid`, binds `newfid` to it, and
    /// opens it. Without `EXCL` a regular file that is there already is opened as it is. With `TMPFILE`
    /// as a flag the file has no name, and `name` is empty.
    134 Createx Tcreatex { dfid: u32, name: Str, newfid: u32, mode: u32, uid: u32, gid: u32, open: OpenHow }
    /// Makes the directory `name` and binds `newfid` to it.
    136 Mkdirx Tmkdirx { dfid: u32, name: Str, newfid: u32, mode: u32, uid: u32, gid: u32 }
    /// Makes the symbolic link `name` and binds `newfid` to it.
    138 Symlinkx Tsymlinkx { dfid: u32, name: Str, newfid: u32, symtgt: Str, uid: u32, gid: u32 }
    /// Makes the device, pipe or socket file `name` and binds `newfid` to it.
    140 Mknodx Tmknodx { dfid: u32, name: Str, newfid: u32, mode: u32, major: u32, minor: u32, uid: u32, gid: u32 }
    /// Moves a name as renameat2(2) does with `flags`.
    142 Renamex Trenamex { olddirfid: u32, oldname: Str, newdirfid: u32, newname: Str, flags: u32 }
    /// Lists the directory `fid`, open or not, from `offset` on with all attributes, at most `count` bytes.
    144 Readdirx Treaddirx { fid: u32, offset: u64, count: u32 }
    /// Forgets all of `fids`.
    146 Clunkx Tclunkx { fids: Vec<u32> }
    /// Reserves or frees space of an open file as fallocate(2) does with `mode`.
    148 Allocatex Tallocatex { fid: u32, mode: u32, offset: u64, length: u64 }
    /// Asks for the extended attribute `name` of `fid`.
    150 Getxattrx Tgetxattrx { fid: u32, name: Str }
    /// Sets the extended attribute `name` of `fid`.
    152 Setxattrx Tsetxattrx { fid: u32, name: Str, value: Data, flags: u32 }
    /// Asks for the names of the extended attributes of `fid`.
    154 Listxattrx Tlistxattrx { fid: u32 }
    /// Removes the extended attribute `name` of `fid`.
    156 Removexattrx Tremovexattrx { fid: u32, name: Str }
}

impl TMessage {
    /// True if only the extended dialect has this message.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        self.kind() >= 128
    }
}
