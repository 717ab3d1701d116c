//! Rights, owners, sizes and times of files, by path.

use std::sync::Arc;

use abi::{Errno, Timespec, UserAddr};
use auth::Credentials;
use kernel::{Cx, FsEnv, SysResult};
use vfs::{LookupFlags, SetTime};

use crate::{
    Args,
    path::{
        AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, follow, read_path, read_path_or_empty,
        resolve,
    },
    table::{Entry, full},
};

/// Ask with the effective ids.
const AT_EACCESS: u32 = 0x200;

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    21, "access",     "sd",     access),
    full(    76, "truncate",   "su",     truncate),
    full(    90, "chmod",      "so",     chmod),
    full(    92, "chown",      "sdd",    chown),
    full(    94, "lchown",     "sdd",    lchown),
    full(    95, "umask",      "o",      umask),
    full(   132, "utime",      "sx",     utime),
    full(   235, "utimes",     "sx",     utimes),
    full(   260, "fchownat",   "fsddx",  fchownat),
    full(   261, "futimesat",  "fsx",    futimesat),
    full(   268, "fchmodat",   "fso",    fchmodat),
    full(   269, "faccessat",  "fsd",    faccessat),
    full(   280, "utimensat",  "fsxx",   utimensat),
    full(   439, "faccessat2", "fsdx",   faccessat2),
    full(   452, "fchmodat2",  "fsox",   fchmodat2),
];

/// `int access(const char *path, int mode)`
fn access(cx: &mut Cx<'_>, args: Args) -> SysResult {
    access_at(cx, AT_FDCWD, args.addr(0), args.u32(1), 0)
}

/// `int faccessat(int dirfd, const char *path, int mode)`
fn faccessat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    access_at(cx, args.i32(0), args.addr(1), args.u32(2), 0)
}

/// `int faccessat2(int dirfd, const char *path, int mode, int flags)`
fn faccessat2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(3, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    access_at(cx, args.i32(0), args.addr(1), args.u32(2), flags)
}

fn access_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, mode: u32, flags: u32) -> SysResult {
    if mode & !7 != 0 {
        return Err(Errno::EINVAL);
    }
    let path = read_path_or_empty(cx, path)?;
    let env = if flags & AT_EACCESS != 0 { cx.env() } else { env_with_real_ids(cx) };
    let fs = env.ctx();
    let place = resolve(cx, &fs, dir, &path, flags, follow(flags))?;
    if mode == 0 {
        return Ok(0);
    }
    fs.access(&place, mode)?;
    Ok(0)
}

/// access(2) asks with the real ids; a real uid other than 0 has no capabilities then.
fn env_with_real_ids<'a>(cx: &Cx<'a>) -> FsEnv<'a> {
    let creds = cx.creds();
    let mut real = Credentials { fsuid: creds.ruid, fsgid: creds.rgid, ..(*creds).clone() };
    real.effective = if creds.ruid == 0 { creds.permitted } else { auth::CapabilitySet::EMPTY };
    cx.env_as(Arc::new(real))
}

/// `int truncate(const char *path, off_t length)`
fn truncate(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let size = args.offset(1)?;
    let path = read_path(cx, args.addr(0))?;
    check_file_size(cx, size)?;
    let env = cx.env();
    let fs = env.ctx();
    let place = fs.lookup(fs.cwd, &path, LookupFlags::default())?;
    fs.truncate(&place, size)?;
    Ok(0)
}

/// Refuses to make a file larger than `RLIMIT_FSIZE`, with SIGXFSZ (setrlimit(2)).
pub(crate) fn check_file_size(cx: &Cx<'_>, size: u64) -> Result<(), Errno> {
    let limit = cx.process().limits.lock().soft(kernel::Resource::Fsize);
    if size <= limit {
        return Ok(());
    }
    let info = abi::SigInfo::kernel(abi::Signal::SIGXFSZ);
    let _ = cx.task.send(info, kernel::signal::Sender::Inside);
    Err(Errno::EFBIG)
}

fn chmod_at(cx: &mut Cx<'_>, dir: i32, path: UserAddr, mode: u32, flags: u32) -> SysResult {
    let path = read_path_or_empty(cx, path)?;
    let env = cx.env();
    let fs = env.ctx();
    let place = resolve(cx, &fs, dir, &path, flags, follow(flags))?;
    if place.inode().metadata(&fs)?.is_symlink() {
        return Err(Errno::EOPNOTSUPP);
    }
    fs.change_mode(&place, mode)?;
    Ok(0)
}

/// `int chmod(const char *path, mode_t mode)`
fn chmod(cx: &mut Cx<'_>, args: Args) -> SysResult {
    chmod_at(cx, AT_FDCWD, args.addr(0), args.u32(1), 0)
}

/// `int fchmodat(int dirfd, const char *path, mode_t mode)`
fn fchmodat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    chmod_at(cx, args.i32(0), args.addr(1), args.u32(2), 0)
}

/// `int fchmodat2(int dirfd, const char *path, mode_t mode, int flags)`
fn fchmodat2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(3, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    chmod_at(cx, args.i32(0), args.addr(1), args.u32(2), flags)
}

/// `uid_t` or `gid_t` argument: -1 leaves the id alone.
pub(crate) fn id_or_keep(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

fn chown_at(
    cx: &mut Cx<'_>,
    dir: i32,
    path: UserAddr,
    (uid, gid): (u32, u32),
    flags: u32,
) -> SysResult {
    let path = read_path_or_empty(cx, path)?;
    let env = cx.env();
    let fs = env.ctx();
    let place = resolve(cx, &fs, dir, &path, flags, follow(flags))?;
    fs.change_owner(&place, id_or_keep(uid), id_or_keep(gid))?;
    Ok(0)
}

/// `int chown(const char *path, uid_t uid, gid_t gid)`
fn chown(cx: &mut Cx<'_>, args: Args) -> SysResult {
    chown_at(cx, AT_FDCWD, args.addr(0), (args.u32(1), args.u32(2)), 0)
}

/// `int lchown(const char *path, uid_t uid, gid_t gid)`
fn lchown(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let ids = (args.u32(1), args.u32(2));
    chown_at(cx, AT_FDCWD, args.addr(0), ids, AT_SYMLINK_NOFOLLOW)
}

/// `int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)`
fn fchownat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(4, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    chown_at(cx, args.i32(0), args.addr(1), (args.u32(2), args.u32(3)), flags)
}

/// `mode_t umask(mode_t mask)`
fn umask(cx: &mut Cx<'_>, args: Args) -> SysResult {
    Ok(u64::from(cx.task.fs().set_umask(args.u32(0))))
}

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

type Times = (Option<SetTime>, Option<SetTime>);
const BOTH_NOW: Times = (Some(SetTime::Now), Some(SetTime::Now));

fn set_times(cx: &mut Cx<'_>, dir: i32, path: UserAddr, times: Times, flags: u32) -> SysResult {
    let env = cx.env();
    let fs = env.ctx();
    let place = if path.is_null() && dir != AT_FDCWD {
        let file = cx.files.get_io(dir)?;
        file.path().cloned().ok_or(Errno::EINVAL)?
    } else {
        let path = read_path_or_empty(cx, path)?;
        resolve(cx, &fs, dir, &path, flags, follow(flags))?
    };
    fs.change_times(&place, times.0, times.1)?;
    Ok(0)
}

fn one_time(time: Timespec) -> Result<Option<SetTime>, Errno> {
    match time.nsec {
        UTIME_NOW => Ok(Some(SetTime::Now)),
        UTIME_OMIT => Ok(None),
        0..=999_999_999 => Ok(Some(SetTime::To(time))),
        _ => Err(Errno::EINVAL),
    }
}

/// `int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)`
fn utimensat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(3, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let times = if args.addr(2).is_null() {
        BOTH_NOW
    } else {
        let atime: Timespec = cx.mm.read_value(args.addr(2))?;
        let mtime: Timespec = cx.mm.read_value(args.addr(2).wrapping_add(16))?;
        (one_time(atime)?, one_time(mtime)?)
    };
    set_times(cx, args.i32(0), args.addr(1), times, flags)
}

fn read_timevals(cx: &Cx<'_>, addr: UserAddr) -> Result<Times, Errno> {
    if addr.is_null() {
        return Ok(BOTH_NOW);
    }
    let one = |at: u64| -> Result<Option<SetTime>, Errno> {
        let time: Timespec = cx.mm.read_value(addr.wrapping_add(at))?;
        if !(0..1_000_000).contains(&time.nsec) {
            return Err(Errno::EINVAL);
        }
        Ok(Some(SetTime::To(Timespec { sec: time.sec, nsec: time.nsec * 1000 })))
    };
    Ok((one(0)?, one(16)?))
}

/// `int utimes(const char *path, const struct timeval times[2])`
fn utimes(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let times = read_timevals(cx, args.addr(1))?;
    set_times(cx, AT_FDCWD, args.addr(0), times, 0)
}

/// `int futimesat(int dirfd, const char *path, const struct timeval times[2])`
fn futimesat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let times = read_timevals(cx, args.addr(2))?;
    set_times(cx, args.i32(0), args.addr(1), times, 0)
}

/// `int utime(const char *path, const struct utimbuf *times)`
fn utime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let times = if args.addr(1).is_null() {
        BOTH_NOW
    } else {
        let sec = |at: u64| cx.mm.read_value::<i64>(args.addr(1).wrapping_add(at));
        let to = |sec| Some(SetTime::To(Timespec { sec, nsec: 0 }));
        (to(sec(0)?), to(sec(8)?))
    };
    set_times(cx, AT_FDCWD, args.addr(0), times, 0)
}
