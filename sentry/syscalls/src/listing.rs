//! Listing directories.

use abi::Errno;
use kernel::{Cx, SysResult};
use vfs::{DirEntry, DirSink};

use crate::{
    Args,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    78, "getdents",        "fxu",    getdents),
    full(   217, "getdents64",      "fxu",    getdents64),
];

/// Packs entries as `linux_dirent64`, or as the older `linux_dirent`.
struct Packer {
    bytes: Vec<u8>,
    room: usize,
    old: bool,
    /// An entry did not fit.
    full: bool,
}

impl DirSink for Packer {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        // Two numbers, the length, the kind and a NUL; only their order differs.
        let len = (8 + 8 + 2 + 1 + 1 + entry.name.len()).next_multiple_of(8);
        if self.bytes.len() + len > self.room {
            self.full = true;
            return false;
        }
        let end = self.bytes.len() + len;
        let Ok(short) = u16::try_from(len) else { return false };
        self.bytes.extend_from_slice(&entry.ino.to_le_bytes());
        self.bytes.extend_from_slice(&entry.next.to_le_bytes());
        self.bytes.extend_from_slice(&short.to_le_bytes());
        if !self.old {
            self.bytes.push(entry.kind);
        }
        self.bytes.extend_from_slice(entry.name);
        self.bytes.resize(end, 0);
        if self.old
            && let Some(last) = self.bytes.last_mut()
        {
            *last = entry.kind;
        }
        true
    }
}

/// Most bytes that one listing call gives.
const DIRENTS_MAX_BYTES: usize = 64 << 10;

fn list(cx: &Cx<'_>, args: Args, old: bool) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    let env = cx.env();
    let room = usize::try_from(args.u32(2)).map_err(|_| Errno::EINVAL)?.min(DIRENTS_MAX_BYTES);
    let mut packer = Packer { bytes: Vec::new(), room, old, full: false };
    file.read_dir(&env.ctx(), &mut packer)?;
    if packer.bytes.is_empty() && packer.full {
        return Err(Errno::EINVAL);
    }
    cx.mm.write(args.addr(1), &packer.bytes)?;
    Ok(packer.bytes.len() as u64)
}

/// `int getdents(unsigned fd, struct linux_dirent *dirp, unsigned count)`
fn getdents(cx: &mut Cx<'_>, args: Args) -> SysResult {
    list(cx, args, true)
}

/// `ssize_t getdents64(int fd, void *dirp, size_t count)`
fn getdents64(cx: &mut Cx<'_>, args: Args) -> SysResult {
    list(cx, args, false)
}
