//! Calls on descriptors: read, write, seek, duplicate, control.

use std::sync::Arc;

use abi::{AddrRange, Errno, SigInfo, Signal, UserAddr, fs::open};
use kernel::{Cx, Resource, SysResult, UserDst, UserSrc, signal::Sender};
use vfs::{DirEntry, DirSink, Dst, Ioctl, OpenFile, SetAttr, Src};

use crate::{
    Args, lock, path,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(     0, "read",            "fxu",    read),
    full(     1, "write",           "fbu",    write),
    full(     3, "close",           "f",      close),
    full(     5, "fstat",           "fx",     fstat),
    full(     8, "lseek",           "fdd",    lseek),
    full(    16, "ioctl",           "fxx",    ioctl),
    full(    17, "pread64",         "fxud",   pread64),
    full(    18, "pwrite64",        "fbud",   pwrite64),
    full(    19, "readv",           "fxu",    readv),
    full(    20, "writev",          "fxu",    writev),
    full(    32, "dup",             "f",      dup),
    full(    33, "dup2",            "ff",     dup2),
    partial( 72, "fcntl",           "fdx",    fcntl, "no leases, no dnotify"),
    full(    74, "fsync",           "f",      fsync),
    full(    75, "fdatasync",       "f",      fdatasync),
    full(    77, "ftruncate",       "fd",     ftruncate),
    full(    78, "getdents",        "fxu",    getdents),
    full(    81, "fchdir",          "f",      fchdir),
    full(    91, "fchmod",          "fo",     fchmod),
    full(    93, "fchown",          "fdd",    fchown),
    full(   138, "fstatfs",         "fx",     fstatfs),
    full(   162, "sync",            "",       sync),
    full(   217, "getdents64",      "fxu",    getdents64),
    full(   221, "fadvise64",       "fddd",   fadvise64),
    partial(285, "fallocate",       "fxdd",   fallocate, "modes as far as the file system has them"),
    full(   292, "dup3",            "ffx",    dup3),
    full(   295, "preadv",          "fxudx",  preadv),
    full(   296, "pwritev",         "fxudx",  pwritev),
    full(   306, "syncfs",          "f",      syncfs),
    partial(327, "preadv2",         "fxudxx", preadv2, "no flags"),
    partial(328, "pwritev2",        "fxudxx", pwritev2, "no flags"),
    full(   436, "close_range",     "uux",    close_range),
];

/// Most bytes of one read or write (read(2): `MAX_RW_COUNT`).
const RW_MAX_BYTES: u64 = 0x7fff_f000;

/// One range of application memory, cut to what one call may move.
fn one_range(addr: UserAddr, len: u64) -> Result<Vec<AddrRange>, Errno> {
    if i64::try_from(len).is_err() {
        return Err(Errno::EINVAL);
    }
    let range = addr.range(len.min(RW_MAX_BYTES)).ok_or(Errno::EFAULT)?;
    Ok(vec![range])
}

fn iovecs(cx: &Cx<'_>, args: Args) -> Result<Vec<AddrRange>, Errno> {
    let mut ranges = cx.mm.read_iovecs(args.addr(1), args.get(2))?;
    let mut left = RW_MAX_BYTES;
    for range in &mut ranges {
        let len = range.len().min(left);
        range.end = range.start.wrapping_add(len);
        left -= len;
    }
    Ok(ranges)
}

fn dst(cx: &Cx<'_>, ranges: Vec<AddrRange>) -> UserDst {
    UserDst::new(cx.mm.clone(), ranges)
}

fn src(cx: &Cx<'_>, ranges: Vec<AddrRange>) -> UserSrc {
    UserSrc::new(cx.mm.clone(), ranges)
}

/// Turns `EPIPE` into SIGPIPE as well (write(2)).
pub(crate) fn with_sigpipe(cx: &Cx<'_>, result: Result<usize, Errno>) -> SysResult {
    if result == Err(Errno::EPIPE) {
        let info = SigInfo::user(Signal::SIGPIPE, cx.process().pid.0, cx.creds().ruid);
        let _ = cx.task.send(info, Sender::Inside);
    }
    result.map(|count| count as u64)
}

fn read_ranges(cx: &Cx<'_>, fd: i32, ranges: Vec<AddrRange>, at: Option<u64>) -> SysResult {
    let file = cx.files.get_io(fd)?;
    let env = cx.env();
    let fs = env.ctx();
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let mut dst = dst(cx, ranges);
    let count = match at {
        None => file.read(&fs, &mut dst)?,
        Some(_) if !file.file().seekable() => return Err(Errno::ESPIPE),
        Some(offset) => file.read_at(&fs, &mut dst, offset)?,
    };
    Ok(count as u64)
}

fn write_ranges(cx: &Cx<'_>, fd: i32, ranges: Vec<AddrRange>, at: Option<u64>) -> SysResult {
    let file = cx.files.get_io(fd)?;
    let env = cx.env();
    let fs = env.ctx();
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let ranges = limit_file_size(cx, &file, ranges, at)?;
    let mut src = src(cx, ranges);
    let result = match at {
        None => file.write(&fs, &mut src),
        Some(offset) => file.write_at(&fs, &mut src, offset),
    };
    with_sigpipe(cx, result)
}

/// Cuts a write at `RLIMIT_FSIZE`, or refuses it with SIGXFSZ (setrlimit(2)).
fn limit_file_size(
    cx: &Cx<'_>,
    file: &OpenFile,
    mut ranges: Vec<AddrRange>,
    at: Option<u64>,
) -> Result<Vec<AddrRange>, Errno> {
    let limit = cx.process().limits.lock().soft(Resource::Fsize);
    if limit == u64::MAX || !file.file().seekable() {
        return Ok(ranges);
    }
    let offset = at.unwrap_or_else(|| file.offset());
    let wanted: u64 = ranges.iter().map(|range| range.len()).sum();
    let mut room = limit.saturating_sub(offset);
    if room == 0 && wanted > 0 {
        path::check_file_size(cx, u64::MAX)?;
    }
    for range in &mut ranges {
        let len = range.len().min(room);
        range.end = range.start.wrapping_add(len);
        room -= len;
    }
    Ok(ranges)
}

/// `ssize_t read(int fd, void *buf, size_t count)`
fn read(cx: &mut Cx<'_>, args: Args) -> SysResult {
    read_ranges(cx, args.i32(0), one_range(args.addr(1), args.get(2))?, None)
}

/// `ssize_t write(int fd, const void *buf, size_t count)`
fn write(cx: &mut Cx<'_>, args: Args) -> SysResult {
    write_ranges(cx, args.i32(0), one_range(args.addr(1), args.get(2))?, None)
}

/// `ssize_t pread64(int fd, void *buf, size_t count, off_t offset)`
fn pread64(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let offset = args.offset(3)?;
    read_ranges(cx, args.i32(0), one_range(args.addr(1), args.get(2))?, Some(offset))
}

/// `ssize_t pwrite64(int fd, const void *buf, size_t count, off_t offset)`
fn pwrite64(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let offset = args.offset(3)?;
    write_ranges(cx, args.i32(0), one_range(args.addr(1), args.get(2))?, Some(offset))
}

/// `ssize_t readv(int fd, const struct iovec *iov, int iovcnt)`
fn readv(cx: &mut Cx<'_>, args: Args) -> SysResult {
    read_ranges(cx, args.i32(0), iovecs(cx, args)?, None)
}

/// `ssize_t writev(int fd, const struct iovec *iov, int iovcnt)`
fn writev(cx: &mut Cx<'_>, args: Args) -> SysResult {
    write_ranges(cx, args.i32(0), iovecs(cx, args)?, None)
}

/// `ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)`
fn preadv(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let offset = args.offset(3)?;
    read_ranges(cx, args.i32(0), iovecs(cx, args)?, Some(offset))
}

/// `ssize_t pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset)`
fn pwritev(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let offset = args.offset(3)?;
    write_ranges(cx, args.i32(0), iovecs(cx, args)?, Some(offset))
}

/// The offset of preadv2(2): -1 means the position.
fn offset_or_position(args: Args) -> Result<Option<u64>, Errno> {
    if args.u32(5) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if args.i64(3) == -1 { Ok(None) } else { args.offset(3).map(Some) }
}

/// `ssize_t preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)`
fn preadv2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let at = offset_or_position(args)?;
    read_ranges(cx, args.i32(0), iovecs(cx, args)?, at)
}

/// `ssize_t pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)`
fn pwritev2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let at = offset_or_position(args)?;
    write_ranges(cx, args.i32(0), iovecs(cx, args)?, at)
}

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
    cx.mm.write(args.addr(1), &path::stat_bytes(&meta))?;
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
    path::check_file_size(cx, size)?;
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
        path::check_file_size(cx, end)?;
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
    let (uid, gid) = (path::id_or_keep(args.u32(1)), path::id_or_keep(args.u32(2)));
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
    cx.mm.write(args.addr(1), &path::statfs_bytes(&stat, flags))?;
    Ok(0)
}

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

/// Moves bytes from one open file to another through a buffer of the kernel: for sendfile(2) and
/// its like. `from` and `to` are offsets that replace the positions.
pub(crate) fn transfer(
    cx: &Cx<'_>,
    (input, mut from): (&OpenFile, Option<u64>),
    (output, mut to): (&OpenFile, Option<u64>),
    len: u64,
) -> Result<u64, Errno> {
    const CHUNK_BYTES: usize = 64 << 10;
    let env = cx.env();
    let fs = env.ctx();
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(len).unwrap_or(CHUNK_BYTES))];
    let mut done = 0;
    while done < len {
        let want = usize::try_from(len - done).unwrap_or(CHUNK_BYTES).min(buffer.len());
        let room = buffer.get_mut(..want).unwrap_or_default();
        let mut dst = vfs::BytesDst::new(room);
        debug_assert!(dst.remaining() == want);
        let start = from.unwrap_or_else(|| input.offset());
        let got = match input.read_at(&fs, &mut dst, start) {
            Ok(got) => got,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        };
        if got == 0 {
            break;
        }
        let mut src = vfs::BytesSrc(buffer.get(..got).unwrap_or_default());
        let result = match to {
            Some(offset) => output.write_at(&fs, &mut src, offset),
            None => output.write(&fs, &mut src),
        };
        let _ = src.remaining();
        let put = match result {
            Ok(put) => put,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        };
        let moved = put as u64;
        done += moved;
        match &mut from {
            Some(offset) => *offset += moved,
            None if input.file().seekable() => {
                let next = i64::try_from(start + moved).map_err(|_| Errno::EOVERFLOW)?;
                input.seek(&fs, next, 0)?;
            }
            None => {}
        }
        if let Some(offset) = &mut to {
            *offset += moved;
        }
        if put < got {
            break;
        }
    }
    Ok(done)
}
