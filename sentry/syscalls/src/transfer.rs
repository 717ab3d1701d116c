//! Moving bytes between descriptors within the kernel; extended attributes.

use abi::{Errno, UserAddr, fs::open::O_APPEND};
use kernel::{Cx, SysResult};
use std::sync::Arc;
use vfs::{Ctx, Inode, LookupFlags, XattrFlags};

use crate::{
    Args, path, read_write,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    40, "sendfile",        "ffxu",   sendfile),
    full(   187, "readahead",       "fdu",    readahead),
    full(   188, "setxattr",        "ssxux",  setxattr),
    full(   189, "lsetxattr",       "ssxux",  lsetxattr),
    full(   190, "fsetxattr",       "fsxux",  fsetxattr),
    full(   191, "getxattr",        "ssxu",   getxattr),
    full(   192, "lgetxattr",       "ssxu",   lgetxattr),
    full(   193, "fgetxattr",       "fsxu",   fgetxattr),
    full(   194, "listxattr",       "sxu",    listxattr),
    full(   195, "llistxattr",      "sxu",    llistxattr),
    full(   196, "flistxattr",      "fxu",    flistxattr),
    full(   197, "removexattr",     "ss",     removexattr),
    full(   198, "lremovexattr",    "ss",     lremovexattr),
    full(   199, "fremovexattr",    "fs",     fremovexattr),
    full(   326, "copy_file_range", "fxfxux", copy_file_range),
];

fn read_offset(cx: &Cx<'_>, addr: UserAddr) -> Result<Option<u64>, Errno> {
    if addr.is_null() {
        return Ok(None);
    }
    let offset: i64 = cx.mm.read_value(addr)?;
    u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL)
}

fn write_offset(cx: &Cx<'_>, addr: UserAddr, from: Option<u64>, moved: u64) -> Result<(), Errno> {
    match from {
        Some(offset) => cx.mm.write(addr, &offset.saturating_add(moved).to_le_bytes()),
        None => Ok(()),
    }
}

/// `ssize_t sendfile(int out, int in, off_t *offset, size_t count)`
fn sendfile(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let (output, input) = (cx.files.get_io(args.i32(0))?, cx.files.get_io(args.i32(1))?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    if !input.file().seekable() || output.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let from = read_offset(cx, args.addr(2))?;
    let len = args.get(3).min(0x7fff_f000);
    let result = read_write::transfer(cx, (&input, from), (&output, None), len);
    let moved = read_write::with_sigpipe(cx, result.map(|n| usize::try_from(n).unwrap_or(0)))?;
    write_offset(cx, args.addr(2), from, moved)?;
    Ok(moved)
}

/// `ssize_t copy_file_range(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags)`
fn copy_file_range(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if args.u32(5) != 0 {
        return Err(Errno::EINVAL);
    }
    let (input, output) = (cx.files.get_io(args.i32(0))?, cx.files.get_io(args.i32(2))?);
    if !input.readable() || !output.writable() || output.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let env = cx.env();
    let fs = env.ctx();
    let (source, target) = (input.metadata(&fs)?, output.metadata(&fs)?);
    if source.is_dir() || target.is_dir() {
        return Err(Errno::EISDIR);
    }
    if !source.is_file() || !target.is_file() {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (read_offset(cx, args.addr(1))?, read_offset(cx, args.addr(3))?);
    let len = args.get(4).min(0x7fff_f000);
    let (start, end) = (from.unwrap_or(input.offset()), to.unwrap_or(output.offset()));
    let same = source.dev == target.dev && source.ino == target.ino;
    if same && start < end.saturating_add(len) && end < start.saturating_add(len) {
        return Err(Errno::EINVAL);
    }
    let moved = read_write::transfer(cx, (&input, from), (&output, to), len)?;
    write_offset(cx, args.addr(1), from, moved)?;
    write_offset(cx, args.addr(3), to, moved)?;
    Ok(moved)
}

/// `ssize_t readahead(int fd, off64_t offset, size_t count)`
fn readahead(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if file.file().seekable() { Ok(0) } else { Err(Errno::EINVAL) }
}

/// Longest name of an attribute (`XATTR_NAME_MAX`).
const NAME_MAX_BYTES: usize = 256;
/// Longest value or list (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const SIZE_MAX_BYTES: usize = 65_536;

/// Whose attributes.
enum Target {
    Path { follow: bool },
    Fd,
}

/// Finds the inode that argument 0 names and hands it to `work`; `change` checks that its mount
/// may be written.
fn with_inode<R>(
    cx: &Cx<'_>,
    args: Args,
    target: &Target,
    change: bool,
    work: impl FnOnce(&Ctx<'_>, &Arc<dyn Inode>) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let env = cx.env();
    let fs = env.ctx();
    let place = match target {
        Target::Fd => {
            let file = cx.files.get_io(args.i32(0))?;
            match (file.path(), file.file().inode()) {
                (Some(place), _) => place.clone(),
                (None, Some(inode)) => return work(&fs, &inode),
                (None, None) => return Err(Errno::EOPNOTSUPP),
            }
        }
        Target::Path { follow } => {
            let path = path::read_path(cx, args.addr(0))?;
            fs.lookup(fs.cwd, &path, LookupFlags { no_follow: !follow, ..LookupFlags::default() })?
        }
    };
    if change {
        fs.changeable(&place)?;
    }
    work(&fs, place.inode())
}

fn read_name(cx: &Cx<'_>, args: Args) -> Result<Vec<u8>, Errno> {
    match cx.mm.read_string(args.addr(1), NAME_MAX_BYTES) {
        Ok(name) if name.is_empty() => Err(Errno::ERANGE),
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE),
        result => result,
    }
}

/// Who may write which name space (xattr(7)).
fn check_write(
    cx: &Cx<'_>,
    fs: &Ctx<'_>,
    inode: &Arc<dyn Inode>,
    name: &[u8],
) -> Result<(), Errno> {
    let meta = inode.metadata(fs)?;
    if name.starts_with(b"user.") {
        if !meta.is_file() && !meta.is_dir() {
            return Err(Errno::EPERM);
        }
        return fs.check(&meta, 2);
    }
    if name.starts_with(b"trusted.") || name.starts_with(b"security.") {
        let admin = cx.creds().has(auth::Capability::SysAdmin);
        return if admin { Ok(()) } else { Err(Errno::EPERM) };
    }
    if name.starts_with(b"system.") && fs.owns(&meta) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

fn set(cx: &Cx<'_>, args: Args, target: &Target) -> SysResult {
    let flags = args.flags(4, 3)?;
    let name = read_name(cx, args)?;
    if args.size(3) > SIZE_MAX_BYTES {
        return Err(Errno::E2BIG);
    }
    let mut value = vec![0; args.size(3)];
    cx.mm.read(args.addr(2), &mut value)?;
    let flags = XattrFlags { create: flags & 1 != 0, replace: flags & 2 != 0 };
    with_inode(cx, args, target, true, |fs, inode| {
        check_write(cx, fs, inode, &name)?;
        inode.set_xattr(fs, &name, &value, flags)
    })?;
    Ok(0)
}

fn get(cx: &Cx<'_>, args: Args, target: &Target) -> SysResult {
    let name = read_name(cx, args)?;
    let value = with_inode(cx, args, target, false, |fs, inode| {
        if name.starts_with(b"user.") {
            fs.check(&inode.metadata(fs)?, 4)?;
        }
        if name.starts_with(b"trusted.") && !cx.creds().has(auth::Capability::SysAdmin) {
            return Err(Errno::ENODATA);
        }
        inode.get_xattr(fs, &name)
    })?;
    give(cx, &value, args.addr(2), args.size(3))
}

fn list(cx: &Cx<'_>, args: Args, target: &Target) -> SysResult {
    let names = with_inode(cx, args, target, false, |fs, inode| inode.list_xattr(fs))?;
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend_from_slice(&name);
        bytes.push(0);
    }
    give(cx, &bytes, args.addr(1), args.size(2))
}

fn remove(cx: &Cx<'_>, args: Args, target: &Target) -> SysResult {
    let name = read_name(cx, args)?;
    with_inode(cx, args, target, true, |fs, inode| {
        check_write(cx, fs, inode, &name)?;
        inode.remove_xattr(fs, &name)
    })?;
    Ok(0)
}

/// Stores a value, or only tells its size if none is asked for.
fn give(cx: &Cx<'_>, value: &[u8], out: UserAddr, size: usize) -> SysResult {
    if size != 0 {
        if value.len() > size {
            return Err(Errno::ERANGE);
        }
        cx.mm.write(out, value)?;
    }
    Ok(value.len() as u64)
}

const FOLLOW: Target = Target::Path { follow: true };
const LINK: Target = Target::Path { follow: false };

/// `int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)`
fn setxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    set(cx, args, &FOLLOW)
}

/// `int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)`
fn lsetxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    set(cx, args, &LINK)
}

/// `int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)`
fn fsetxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    set(cx, args, &Target::Fd)
}

/// `ssize_t getxattr(const char *path, const char *name, void *value, size_t size)`
fn getxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    get(cx, args, &FOLLOW)
}

/// `ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)`
fn lgetxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    get(cx, args, &LINK)
}

/// `ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)`
fn fgetxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    get(cx, args, &Target::Fd)
}

/// `ssize_t listxattr(const char *path, char *list, size_t size)`
fn listxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    list(cx, args, &FOLLOW)
}

/// `ssize_t llistxattr(const char *path, char *list, size_t size)`
fn llistxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    list(cx, args, &LINK)
}

/// `ssize_t flistxattr(int fd, char *list, size_t size)`
fn flistxattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    list(cx, args, &Target::Fd)
}

/// `int removexattr(const char *path, const char *name)`
fn removexattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    remove(cx, args, &FOLLOW)
}

/// `int lremovexattr(const char *path, const char *name)`
fn lremovexattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    remove(cx, args, &LINK)
}

/// `int fremovexattr(int fd, const char *name)`
fn fremovexattr(cx: &mut Cx<'_>, args: Args) -> SysResult {
    remove(cx, args, &Target::Fd)
}
