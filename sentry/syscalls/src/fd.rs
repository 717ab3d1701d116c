//! Calls on descriptors: close, seek, duplicate, control, attributes.

use std::sync::Arc;

use abi::{Errno, fs::open};
use kernel::{Cx, Resource, SysResult};
use vfs::{Ioctl, OpenFile, SetAttr};

use crate::{
    Args, attributes, lock, stat,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(     3, "close",           "f",      close),
    full(     5, "fstat",           "fx",     fstat),
    full(     8, "lseek",           "fdd",    lseek),
    full(    16, "ioctl",           "fxx",    ioctl),
    full(    32, "dup",             "f",      dup),
    full(    33, "dup2",            "ff",     dup2),
    partial( 72, "fcntl",           "fdx",    fcntl, "no leases, no dnotify"),
    full(    74, "fsync",           "f",      fsync),
    full(    75, "fdatasync",       "f",      fdatasync),
    full(    77, "ftruncate",       "fd",     ftruncate),
    full(    81, "fchdir",          "f",      fchdir),
    full(    91, "fchmod",          "fo",     fchmod),
    full(    93, "fchown",          "fdd",    fchown),
    full(   138, "fstatfs",         "fx",     fstatfs),
    full(   162, "sync",            "",       sync),
    full(   221, "fadvise64",       "fddd",   fadvise64),
    partial(285, "fallocate",       "fxdd",   fallocate, "modes as far as the file system has them"),
    full(   292, "dup3",            "ffx",    dup3),
    full(   306, "syncfs",          "f",      syncfs),
    full(   436, "close_range",     "uux",    close_range),
];

/// `int close(int fd)`
fn close(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.close(args.i32(0)).map(|()| 0)
}

/// `int close_range(unsigned first, unsigned last, unsigned flags)`
fn close_range(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    let (first, last) = (args.u32(0), args.u32(1));
    let flags = args.flags(2, UNSHARE | CLOEXEC)?;
    if first > last {
        return Err(Errno::EINVAL);
    }
    if flags & UNSHARE != 0 {
        cx.unshare_files();
    }
    let inside = |fd: i32| (first..=last).contains(&fd.unsigned_abs());
    if flags & CLOEXEC != 0 {
        for fd in cx.files.numbers().into_iter().filter(|fd| inside(*fd)) {
            let _ = cx.files.set_close_on_exec(fd, true);
        }
    } else {
        let env = cx.env();
        cx.files.close_if(&env.ctx(), |fd, _| inside(fd));
    }
    Ok(0)
}

/// `int fstat(int fd, struct stat *statbuf)`
fn fstat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get(args.i32(0))?;
    let env = cx.env();
    let meta = file.metadata(&env.ctx())?;
    cx.mm.write(args.addr(1), &stat::stat_bytes(&meta))?;
    Ok(0)
}

/// `off_t lseek(int fd, off_t offset, int whence)`
fn lseek(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get(args.i32(0))?;
    let env = cx.env();
    file.seek(&env.ctx(), args.i64(1), args.u32(2))
}

/// `int ioctl(int fd, unsigned long request, ...)`
fn ioctl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    const FIONBIO: u32 = 0x5421;
    const FIOASYNC: u32 = 0x5452;
    let fd = args.i32(0);
    let file = cx.files.get_io(fd)?;
    match args.u32(1) {
        FIONCLEX => cx.files.set_close_on_exec(fd, false).map(|()| 0),
        FIOCLEX => cx.files.set_close_on_exec(fd, true).map(|()| 0),
        FIONBIO => {
            let on: u32 = cx.mm.read_value(args.addr(2))?;
            file.set_nonblocking(on != 0);
            Ok(0)
        }
        FIOASYNC => {
            let on: u32 = cx.mm.read_value(args.addr(2))?;
            let flags = file.flags() & !open::O_ASYNC;
            file.set_flags(if on != 0 { flags | open::O_ASYNC } else { flags });
            Ok(0)
        }
        request => {
            let env = cx.env();
            let call = Ioctl { request, arg: args.get(2), mm: &cx.mm };
            file.file().ioctl(&env.ctx(), call)
        }
    }
}

/// `int dup(int oldfd)`
fn dup(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get(args.i32(0))?;
    cx.install(file, false).map(|fd| u64::from(fd.unsigned_abs()))
}

/// `int dup2(int oldfd, int newfd)`
fn dup2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let (old, new) = (args.i32(0), args.i32(1));
    let file = cx.files.get(old)?;
    if old == new {
        return Ok(args.get(1));
    }
    duplicate_to(cx, file, new, false)
}

/// `int dup3(int oldfd, int newfd, int flags)`
fn dup3(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(2, open::O_CLOEXEC)?;
    let (old, new) = (args.i32(0), args.i32(1));
    if old == new {
        return Err(Errno::EINVAL);
    }
    duplicate_to(cx, cx.files.get(old)?, new, flags != 0)
}

fn duplicate_to(cx: &Cx<'_>, file: Arc<OpenFile>, fd: i32, close_on_exec: bool) -> SysResult {
    let limit = cx.process().limits.lock().soft(Resource::Nofile);
    if let Some(old) = cx.files.replace(fd, file, close_on_exec, limit)? {
        let env = cx.env();
        cx.files.closed(&env.ctx(), &old);
    }
    Ok(u64::from(fd.unsigned_abs()))
}

const F_DUPFD: u32 = 0;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_SETOWN: u32 = 8;
const F_GETOWN: u32 = 9;
const F_SETSIG: u32 = 10;
const F_GETSIG: u32 = 11;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETLEASE: u32 = 1024;
const F_GETLEASE: u32 = 1025;
const F_NOTIFY: u32 = 1026;

/// `int fcntl(int fd, int cmd, ...)`
fn fcntl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    use std::sync::atomic::Ordering::Relaxed;
    let (fd, command) = (args.i32(0), args.u32(1));
    let slot = cx.files.slot(fd)?;
    let file = slot.file;
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = cx.process().limits.lock().soft(Resource::Nofile);
            let min = u64::try_from(args.i32(2)).map_err(|_| Errno::EINVAL)?;
            if min >= limit {
                return Err(Errno::EINVAL);
            }
            let fd = cx.files.insert(file, command == F_DUPFD_CLOEXEC, min, limit)?;
            Ok(u64::from(fd.unsigned_abs()))
        }
        F_GETFD => Ok(u64::from(slot.close_on_exec)),
        F_SETFD => cx.files.set_close_on_exec(fd, args.u32(2) & 1 != 0).map(|()| 0),
        F_GETFL => Ok(u64::from(file.flags() | open::O_LARGEFILE)),
        _ if file.is_path() => Err(Errno::EBADF),
        F_SETFL => {
            file.set_flags(args.u32(2));
            Ok(0)
        }
        F_GETOWN => Ok(i64::from(file.owner.load(Relaxed)).cast_unsigned()),
        F_SETOWN => {
            file.owner.store(args.i32(2), Relaxed);
            Ok(0)
        }
        F_GETSIG => Ok(u64::from(file.signal.load(Relaxed).unsigned_abs())),
        F_SETSIG => {
            let signal = args.i32(2);
            if !(0..=64).contains(&signal) {
                return Err(Errno::EINVAL);
            }
            file.signal.store(signal, Relaxed);
            Ok(0)
        }
        F_SETLEASE | F_GETLEASE | F_NOTIFY => Err(Errno::EINVAL),
        lock::F_GETLK | lock::F_OFD_GETLK => lock::get(cx, &file, command, args.addr(2)),
        lock::F_SETLK..=lock::F_SETLKW | lock::F_OFD_SETLK..=lock::F_OFD_SETLKW => {
            lock::set(cx, &file, command, args.addr(2))
        }
        _ => {
            let env = cx.env();
            file.file().fcntl(&env.ctx(), command, args.get(2))
        }
    }
}

fn sync_fd(cx: &Cx<'_>, fd: i32, data_only: bool) -> SysResult {
    let file = cx.files.get_io(fd)?;
    let env = cx.env();
    file.file().sync(&env.ctx(), data_only).map(|()| 0)
}

/// `int fsync(int fd)`
fn fsync(cx: &mut Cx<'_>, args: Args) -> SysResult {
    sync_fd(cx, args.i32(0), false)
}

/// `int fdatasync(int fd)`
fn fdatasync(cx: &mut Cx<'_>, args: Args) -> SysResult {
    sync_fd(cx, args.i32(0), true)
}

/// `void sync(void)`: what is written has reached the Gofer's host already.
fn sync(_: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(0)
}

/// `int syncfs(int fd)`
fn syncfs(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.files.get_io(args.i32(0)).map(|_| 0)
}

/// `int ftruncate(int fd, off_t length)`
fn ftruncate(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let size = args.offset(1)?;
    let file = cx.files.get_io(args.i32(0))?;
    if !file.writable() {
        return Err(Errno::EINVAL);
    }
    attributes::check_file_size(cx, size)?;
    let env = cx.env();
    let fs = env.ctx();
    if !file.metadata(&fs)?.is_file() {
        return Err(Errno::EINVAL);
    }
    let change = SetAttr { size: Some(size), ..SetAttr::default() };
    file.file().set_attr(&fs, &change).map(|()| 0)
}

/// `int fallocate(int fd, int mode, off_t offset, off_t len)`
fn fallocate(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let (offset, len) = (args.offset(2)?, args.offset(3)?);
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok());
    let end = end.ok_or(Errno::EFBIG)?;
    let file = cx.files.get_io(args.i32(0))?;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let env = cx.env();
    let fs = env.ctx();
    if !file.file().seekable() {
        return Err(if file.path().is_none() { Errno::ESPIPE } else { Errno::ENODEV });
    }
    if args.u32(1) & 1 == 0 {
        attributes::check_file_size(cx, end)?;
    }
    file.file().allocate(&fs, args.u32(1), offset, len).map(|()| 0)
}

/// `int posix_fadvise(int fd, off_t offset, off_t len, int advice)`
fn fadvise64(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    if args.i64(2) < 0 || args.u32(3) > 5 {
        return Err(Errno::EINVAL);
    }
    if !file.file().seekable() {
        return Err(Errno::ESPIPE);
    }
    Ok(0)
}

/// `int fchdir(int fd)`
fn fchdir(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get(args.i32(0))?;
    let place = file.path().ok_or(Errno::ENOTDIR)?.clone();
    let env = cx.env();
    let fs = env.ctx();
    if !place.inode().metadata(&fs)?.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    fs.access(&place, 1)?;
    cx.task.fs().set_cwd(place);
    Ok(0)
}

/// `int fchmod(int fd, mode_t mode)`
fn fchmod(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    let env = cx.env();
    let fs = env.ctx();
    match file.path() {
        Some(place) => fs.change_mode(place, args.u32(1))?,
        None => {
            let mode = Some(args.u32(1) & 0o7777);
            file.file().set_attr(&fs, &SetAttr { mode, ..SetAttr::default() })?;
        }
    }
    Ok(0)
}

/// `int fchown(int fd, uid_t uid, gid_t gid)`
fn fchown(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    let env = cx.env();
    let fs = env.ctx();
    let (uid, gid) = (attributes::id_or_keep(args.u32(1)), attributes::id_or_keep(args.u32(2)));
    match file.path() {
        Some(place) => fs.change_owner(place, uid, gid)?,
        None => file.file().set_attr(&fs, &SetAttr { uid, gid, ..SetAttr::default() })?,
    }
    Ok(0)
}

/// `int fstatfs(int fd, struct statfs *buf)`
fn fstatfs(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get(args.i32(0))?;
    let env = cx.env();
    let fs = env.ctx();
    let (stat, flags) = match (file.path(), file.file().inode()) {
        (Some(place), _) => (place.inode().stat_fs(&fs)?, place.mount.flags()),
        (None, Some(inode)) => (inode.stat_fs(&fs)?, vfs::MountFlags::default()),
        (None, None) => return Err(Errno::ENOSYS),
    };
    cx.mm.write(args.addr(1), &stat::statfs_bytes(&stat, flags))?;
    Ok(0)
}
