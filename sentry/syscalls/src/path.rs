//! Calls that name a file by its path.

use std::sync::Arc;

use abi::{Errno, UserAddr, fs::open};
use auth::Capability;
use kernel::{Cx, SysResult};
use vfs::{Ctx, LookupFlags, NewNode, OpenHow, Path, RenameFlags};

use crate::{
    Args,
    table::{Entry, full, partial},
};

/// "Relative to the current directory" as a directory descriptor.
pub(crate) const AT_FDCWD: i32 = -100;
/// Do not follow a link at the end.
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// Nothing is mounted by a walk here anyway.
pub(crate) const AT_NO_AUTOMOUNT: u32 = 0x800;
/// An empty path means the directory descriptor itself.
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(     2, "open",       "sxo",    open),
    full(    79, "getcwd",     "xu",     getcwd),
    full(    80, "chdir",      "s",      chdir),
    full(    82, "rename",     "ss",     rename),
    full(    83, "mkdir",      "so",     mkdir),
    full(    84, "rmdir",      "s",      rmdir),
    full(    85, "creat",      "so",     creat),
    full(    86, "link",       "ss",     link),
    full(    87, "unlink",     "s",      unlink),
    full(    88, "symlink",    "ss",     symlink),
    full(    89, "readlink",   "sxu",    readlink),
    full(   133, "mknod",      "sox",    mknod),
    full(   161, "chroot",     "s",      chroot),
    full(   257, "openat",     "fsxo",   openat),
    full(   258, "mkdirat",    "fso",    mkdirat),
    full(   259, "mknodat",    "fsox",   mknodat),
    full(   263, "unlinkat",   "fsx",    unlinkat),
    full(   264, "renameat",   "fsfs",   renameat),
    full(   265, "linkat",     "fsfsx",  linkat),
    full(   266, "symlinkat",  "sfs",    symlinkat),
    full(   267, "readlinkat", "fsxu",   readlinkat),
    partial(316, "renameat2",  "fsfsx",  renameat2, "no RENAME_WHITEOUT"),
    full(   437, "openat2",    "fsxu",   openat2),
];

/// Longest path (`PATH_MAX`).
const PATH_MAX_BYTES: usize = 4096;

/// Copies a path; an empty one is `ENOENT`.
pub(crate) fn read_path(cx: &Cx<'_>, addr: UserAddr) -> Result<Vec<u8>, Errno> {
    let path = read_path_or_empty(cx, addr)?;
    if path.is_empty() { Err(Errno::ENOENT) } else { Ok(path) }
}

/// Copies a path that may be empty.
pub(crate) fn read_path_or_empty(cx: &Cx<'_>, addr: UserAddr) -> Result<Vec<u8>, Errno> {
    cx.mm.read_string(addr, PATH_MAX_BYTES)
}

/// Where a relative path starts: the current directory, or directory descriptor `dir`.
fn start(cx: &Cx<'_>, fs: &Ctx<'_>, dir: i32, path: &[u8]) -> Result<Path, Errno> {
    if dir == AT_FDCWD || path.starts_with(b"/") {
        return Ok(fs.cwd.clone());
    }
    let file = cx.files.get(dir)?;
    let place = file.path().ok_or(Errno::ENOTDIR)?;
    if !path.is_empty() && !place.inode().metadata(fs)?.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    Ok(place.clone())
}

/// Finds the place that `dir` and `path` name; with `AT_EMPTY_PATH`, an empty path names `dir`.
pub(crate) fn resolve(
    cx: &Cx<'_>,
    fs: &Ctx<'_>,
    dir: i32,
    path: &[u8],
    flags: u32,
    lookup: LookupFlags,
) -> Result<Path, Errno> {
    if path.is_empty() {
        if flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        return start(cx, fs, dir, path);
    }
    fs.lookup(&start(cx, fs, dir, path)?, path, lookup)
}

/// `AT_SYMLINK_NOFOLLOW` as a way to walk.
pub(crate) fn follow(flags: u32) -> LookupFlags {
    LookupFlags { no_follow: flags & AT_SYMLINK_NOFOLLOW != 0, ..LookupFlags::default() }
}

/// `int open(const char *path, int flags, mode_t mode)`
fn open(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_at(cx, AT_FDCWD, args.addr(0), args.u32(1), args.u32(2), LookupFlags::default())
}

/// `int creat(const char *path, mode_t mode)`
fn creat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = open::O_CREAT | open::O_WRONLY | open::O_TRUNC;
    open_at(cx, AT_FDCWD, args.addr(0), flags, args.u32(1), LookupFlags::default())
}

/// `int openat(int dirfd, const char *path, int flags, mode_t mode)`
fn openat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_at(cx, args.i32(0), args.addr(1), args.u32(2), args.u32(3), LookupFlags::default())
}

/// All `O_*` flags; open(2) ignores others, openat2(2) refuses them.
const OPEN_FLAGS: u32 = open::O_ACCMODE
    | open::O_CREAT
    | open::O_EXCL
    | open::O_NOCTTY
    | open::O_TRUNC
    | open::O_APPEND
    | open::O_NONBLOCK
    | open::O_SYNC
    | open::O_ASYNC
    | open::O_DIRECT
    | open::O_LARGEFILE
    | open::O_DIRECTORY
    | open::O_NOFOLLOW
    | open::O_NOATIME
    | open::O_CLOEXEC
    | open::O_PATH
    | open::O_TMPFILE;

/// `int openat2(int dirfd, const char *path, struct open_how *how, size_t size)`
fn openat2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const HOW_BYTES: usize = 24;
    const RESOLVE_KNOWN: u64 = 0x3f;
    let size = args.size(3);
    if size < HOW_BYTES {
        return Err(Errno::EINVAL);
    }
    if size > PATH_MAX_BYTES {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    cx.mm.read(args.addr(2), &mut bytes)?;
    if bytes.iter().skip(HOW_BYTES).any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let (words, _) = bytes.as_chunks::<8>();
    let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
    let (flags, mode, resolve) = (word(0), word(1), word(2));
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let creates = flags & open::O_CREAT != 0 || flags & open::O_TMPFILE == open::O_TMPFILE;
    let beneath_and_in_root = resolve & 0x18 == 0x18;
    if flags & !OPEN_FLAGS != 0
        || resolve & !RESOLVE_KNOWN != 0
        || mode & !0o7777 != 0
        || (mode != 0 && !creates)
        || beneath_and_in_root
    {
        return Err(Errno::EINVAL);
    }
    if resolve & 0x20 != 0 {
        // RESOLVE_CACHED: we cannot tell what is cached without asking.
        return Err(Errno::EAGAIN);
    }
    let lookup = LookupFlags {
        no_xdev: resolve & 1 != 0,
        no_magic_links: resolve & 2 != 0,
        no_symlinks: resolve & 4 != 0,
        beneath: resolve & 8 != 0,
        in_root: resolve & 0x10 != 0,
        ..LookupFlags::default()
    };
    let mode = u32::try_from(mode).map_err(|_| Errno::EINVAL)?;
    open_at(cx, args.i32(0), args.addr(1), flags, mode, lookup)
}

fn open_at(
    cx: &mut Cx<'_>,
    dir: i32,
    path: UserAddr,
    flags: u32,
    mode: u32,
    lookup: LookupFlags,
) -> SysResult {
    let path = read_path(cx, path)?;
    let flags = flags & OPEN_FLAGS;
    let env = cx.env();
    let fs = env.ctx();
    let from = start(cx, &fs, dir, &path)?;
    let file = fs.open(&from, &path, OpenHow { flags, mode, lookup })?;
    install(cx, &fs, &file, flags & open::O_CLOEXEC != 0)
}

/// Gives an opened file a descriptor; without one free, it is closed again.
pub(crate) fn install(
    cx: &Cx<'_>,
    fs: &Ctx<'_>,
    file: &Arc<vfs::OpenFile>,
    close_on_exec: bool,
) -> SysResult {
    match cx.install(Arc::clone(file), close_on_exec) {
        Ok(fd) => Ok(u64::from(fd.unsigned_abs())),
        Err(errno) => {
            file.add_user();
            file.remove_user(fs);
            Err(errno)
        }
    }
}

/// `char *getcwd(char *buf, size_t size)`
fn getcwd(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let env = cx.env();
    let fs = env.ctx();
    if fs.cwd.dentry.is_removed() {
        return Err(Errno::ENOENT);
    }
    let mut path = match fs.path_of(fs.cwd) {
        Some(path) => path,
        None => b"(unreachable)".to_vec(),
    };
    path.push(0);
    if path.len() > args.size(1) {
        return Err(Errno::ERANGE);
    }
    cx.mm.write(args.addr(0), &path)?;
    Ok(path.len() as u64)
}

/// `int chdir(const char *path)`
fn chdir(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let path = read_path(cx, args.addr(0))?;
    let env = cx.env();
    let fs = env.ctx();
    let place =
        fs.lookup(fs.cwd, &path, LookupFlags { directory: true, ..LookupFlags::default() })?;
    fs.access(&place, 1)?;
    cx.task.fs().set_cwd(place);
    Ok(0)
}

/// `int chroot(const char *path)`
fn chroot(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let path = read_path(cx, args.addr(0))?;
    let env = cx.env();
    let fs = env.ctx();
    let place =
        fs.lookup(fs.cwd, &path, LookupFlags { directory: true, ..LookupFlags::default() })?;
    fs.access(&place, 1)?;
    if !cx.creds().has(Capability::SysChroot) {
        return Err(Errno::EPERM);
    }
    cx.task.fs().set_root(place);
    Ok(0)
}

fn make_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, node: NewNode<'_>, mode: u32) -> SysResult {
    let path = read_path(cx, path)?;
    let env = cx.env();
    let fs = env.ctx();
    let from = start(cx, &fs, dir, &path)?;
    fs.make(&from, &path, node, mode)?;
    Ok(0)
}

/// `int mkdir(const char *path, mode_t mode)`
fn mkdir(cx: &mut Cx<'_>, args: Args) -> SysResult {
    make_at(cx, AT_FDCWD, args.addr(0), NewNode::Dir, args.u32(1))
}

/// `int mkdirat(int dirfd, const char *path, mode_t mode)`
fn mkdirat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    make_at(cx, args.i32(0), args.addr(1), NewNode::Dir, args.u32(2))
}

/// `int mknod(const char *path, mode_t mode, dev_t dev)`
fn mknod(cx: &mut Cx<'_>, args: Args) -> SysResult {
    mknod_at(cx, AT_FDCWD, args.addr(0), args.u32(1), args.u32(2))
}

/// `int mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)`
fn mknodat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    mknod_at(cx, args.i32(0), args.addr(1), args.u32(2), args.u32(3))
}

fn mknod_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, mode: u32, dev: u32) -> SysResult {
    use abi::fs::mode as kind;
    let dev = u64::from(dev);
    let node = match mode & kind::S_IFMT {
        0 | kind::S_IFREG => NewNode::File,
        kind::S_IFCHR => NewNode::CharDevice(dev),
        kind::S_IFBLK => NewNode::BlockDevice(dev),
        kind::S_IFIFO => NewNode::Fifo,
        kind::S_IFSOCK => NewNode::Socket,
        kind::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    make_at(cx, dir, path, node, mode & 0o7777)
}

/// `int symlink(const char *target, const char *path)`
fn symlink(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let target = read_path(cx, args.addr(0))?;
    make_at(cx, AT_FDCWD, args.addr(1), NewNode::Symlink(&target), 0o777)
}

/// `int symlinkat(const char *target, int dirfd, const char *path)`
fn symlinkat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let target = read_path(cx, args.addr(0))?;
    make_at(cx, args.i32(1), args.addr(2), NewNode::Symlink(&target), 0o777)
}

fn remove_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, is_dir: bool) -> SysResult {
    let path = read_path(cx, path)?;
    let env = cx.env();
    let fs = env.ctx();
    fs.remove(&start(cx, &fs, dir, &path)?, &path, is_dir)?;
    Ok(0)
}

/// `int rmdir(const char *path)`
fn rmdir(cx: &mut Cx<'_>, args: Args) -> SysResult {
    remove_at(cx, AT_FDCWD, args.addr(0), true)
}

/// `int unlink(const char *path)`
fn unlink(cx: &mut Cx<'_>, args: Args) -> SysResult {
    remove_at(cx, AT_FDCWD, args.addr(0), false)
}

/// `int unlinkat(int dirfd, const char *path, int flags)`
fn unlinkat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(2, AT_REMOVEDIR)?;
    remove_at(cx, args.i32(0), args.addr(1), flags != 0)
}

fn rename_at(cx: &mut Cx<'_>, from: (i32, UserAddr), to: (i32, UserAddr), flags: u32) -> SysResult {
    const NOREPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    if flags & !(NOREPLACE | EXCHANGE) != 0 || flags == NOREPLACE | EXCHANGE {
        return Err(Errno::EINVAL);
    }
    let flags = RenameFlags { no_replace: flags & NOREPLACE != 0, exchange: flags & EXCHANGE != 0 };
    let (from_path, to_path) = (read_path(cx, from.1)?, read_path(cx, to.1)?);
    let env = cx.env();
    let fs = env.ctx();
    let from_dir = start(cx, &fs, from.0, &from_path)?;
    let to_dir = start(cx, &fs, to.0, &to_path)?;
    fs.rename((&from_dir, &from_path), (&to_dir, &to_path), flags)?;
    Ok(0)
}

/// `int rename(const char *from, const char *to)`
fn rename(cx: &mut Cx<'_>, args: Args) -> SysResult {
    rename_at(cx, (AT_FDCWD, args.addr(0)), (AT_FDCWD, args.addr(1)), 0)
}

/// `int renameat(int fromfd, const char *from, int tofd, const char *to)`
fn renameat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    rename_at(cx, (args.i32(0), args.addr(1)), (args.i32(2), args.addr(3)), 0)
}

/// `int renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)`
fn renameat2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    rename_at(cx, (args.i32(0), args.addr(1)), (args.i32(2), args.addr(3)), args.u32(4))
}

fn link_at(
    cx: &mut Cx<'_>,
    target: (i32, UserAddr),
    new: (i32, UserAddr),
    flags: u32,
) -> SysResult {
    let (target_path, new_path) = (read_path_or_empty(cx, target.1)?, read_path(cx, new.1)?);
    let env = cx.env();
    let fs = env.ctx();
    if target_path.is_empty() && !cx.creds().has(Capability::DacReadSearch) {
        return Err(Errno::ENOENT);
    }
    let lookup =
        LookupFlags { no_follow: flags & AT_SYMLINK_FOLLOW == 0, ..LookupFlags::default() };
    let place = resolve(cx, &fs, target.0, &target_path, flags, lookup)?;
    let from = start(cx, &fs, new.0, &new_path)?;
    fs.link(&place, &from, &new_path)?;
    Ok(0)
}

/// `int link(const char *target, const char *path)`
fn link(cx: &mut Cx<'_>, args: Args) -> SysResult {
    link_at(cx, (AT_FDCWD, args.addr(0)), (AT_FDCWD, args.addr(1)), 0)
}

/// `int linkat(int targetfd, const char *target, int dirfd, const char *path, int flags)`
fn linkat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(4, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    link_at(cx, (args.i32(0), args.addr(1)), (args.i32(2), args.addr(3)), flags)
}

fn readlink_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, out: UserAddr, size: usize) -> SysResult {
    if size == 0 || i32::try_from(size).is_err() {
        return Err(Errno::EINVAL);
    }
    let path = read_path_or_empty(cx, path)?;
    let env = cx.env();
    let fs = env.ctx();
    let place = resolve(cx, &fs, dir, &path, AT_EMPTY_PATH, follow(AT_SYMLINK_NOFOLLOW))?;
    if !place.inode().metadata(&fs)?.is_symlink() {
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let target = place.inode().read_link(&fs)?;
    let shown = target.get(..target.len().min(size)).unwrap_or_default();
    cx.mm.write(out, shown)?;
    Ok(shown.len() as u64)
}

/// `ssize_t readlink(const char *path, char *buf, size_t size)`
fn readlink(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let _ = read_path(cx, args.addr(0))?;
    readlink_at(cx, AT_FDCWD, args.addr(0), args.addr(1), args.size(2))
}

/// `ssize_t readlinkat(int dirfd, const char *path, char *buf, size_t size)`
fn readlinkat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    readlink_at(cx, args.i32(0), args.addr(1), args.addr(2), args.size(3))
}
