//! Locks on files: fcntl(2) records and flock(2).

use abi::{Errno, UserAddr};
use kernel::{Cx, SysResult};
use vfs::{FileKey, FileLock, LockKind, LockSpace, OpenFile};

use crate::{
    Args,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(73, "flock", "fx", flock),
];

pub(crate) const F_GETLK: u32 = 5;
pub(crate) const F_SETLK: u32 = 6;
pub(crate) const F_SETLKW: u32 = 7;
pub(crate) const F_OFD_GETLK: u32 = 36;
pub(crate) const F_OFD_SETLK: u32 = 37;
pub(crate) const F_OFD_SETLKW: u32 = 38;

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// `struct flock` of x86-64.
#[derive(
    Clone,
    Copy,
    Debug,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    padding: u32,
    start: i64,
    len: i64,
    pid: i32,
    tail: u32,
}

fn key(cx: &Cx<'_>, file: &OpenFile) -> Result<FileKey, Errno> {
    let env = cx.env();
    let meta = file.metadata(&env.ctx())?;
    Ok((meta.dev, meta.ino))
}

/// The lock that the caller asks for, as an absolute range.
fn wish(cx: &Cx<'_>, file: &OpenFile, command: u32, asked: &Flock) -> Result<FileLock, Errno> {
    let base = match asked.whence {
        0 => 0,
        1 => i64::try_from(file.offset()).map_err(|_| Errno::EOVERFLOW)?,
        2 => {
            let env = cx.env();
            let size = file.metadata(&env.ctx())?.size;
            i64::try_from(size).map_err(|_| Errno::EOVERFLOW)?
        }
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(asked.start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match asked.len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start),
    };
    let whole = asked.len == 0;
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = if whole { u64::MAX } else { u64::try_from(end).map_err(|_| Errno::EINVAL)? };
    let kind = if asked.kind == F_RDLCK { LockKind::Read } else { LockKind::Write };
    let by_description = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    if by_description && asked.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let mounts = cx.task.fs().mounts();
    let (owner, pid) = if by_description {
        (file.lock_owner(mounts.locks()), -1)
    } else {
        (cx.files.lock_owner(mounts.locks()), cx.process().pid.0.cast_signed())
    };
    Ok(FileLock { owner, pid, kind, start, end })
}

/// `F_GETLK` and `F_OFD_GETLK`.
pub(crate) fn get(cx: &Cx<'_>, file: &OpenFile, command: u32, addr: UserAddr) -> SysResult {
    let mut asked: Flock = cx.mm.read_value(addr)?;
    if !matches!(asked.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let wish = wish(cx, file, command, &asked)?;
    let env = cx.env();
    let fs = env.ctx();
    match fs.mounts.locks().conflict(key(cx, file)?, LockSpace::Records, &wish) {
        None => asked.kind = F_UNLCK,
        Some(other) => {
            asked.kind = if other.kind == LockKind::Read { F_RDLCK } else { F_WRLCK };
            asked.whence = 0;
            asked.start = i64::try_from(other.start).unwrap_or(i64::MAX);
            let len = other.end.saturating_sub(other.start);
            asked.len = if other.end == u64::MAX { 0 } else { i64::try_from(len).unwrap_or(0) };
            asked.pid = other.pid;
        }
    }
    cx.mm.write_value(addr, &asked)?;
    Ok(0)
}

/// `F_SETLK`, `F_SETLKW` and their like for descriptions.
pub(crate) fn set(cx: &Cx<'_>, file: &OpenFile, command: u32, addr: UserAddr) -> SysResult {
    let asked: Flock = cx.mm.read_value(addr)?;
    let wish = wish(cx, file, command, &asked)?;
    let env = cx.env();
    let fs = env.ctx();
    let (locks, key) = (fs.mounts.locks(), key(cx, file)?);
    match asked.kind {
        F_UNLCK => {
            locks.unlock(key, LockSpace::Records, &wish);
            return Ok(0);
        }
        F_RDLCK if !file.readable() => return Err(Errno::EBADF),
        F_WRLCK if !file.writable() => return Err(Errno::EBADF),
        F_RDLCK | F_WRLCK => {}
        _ => return Err(Errno::EINVAL),
    }
    let waits = matches!(command, F_SETLKW | F_OFD_SETLKW);
    locks.set(key, LockSpace::Records, wish, waits.then_some(cx.fiber))?;
    Ok(0)
}

/// `int flock(int fd, int operation)`
fn flock(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const SHARED: u32 = 1;
    const EXCLUSIVE: u32 = 2;
    const NON_BLOCKING: u32 = 4;
    const UNLOCK: u32 = 8;
    let file = cx.files.get_io(args.i32(0))?;
    let operation = args.u32(1);
    let kind = match operation & !NON_BLOCKING {
        SHARED | UNLOCK => LockKind::Read,
        EXCLUSIVE => LockKind::Write,
        _ => return Err(Errno::EINVAL),
    };
    let env = cx.env();
    let fs = env.ctx();
    let (locks, key) = (fs.mounts.locks(), key(cx, &file)?);
    let owner = file.lock_owner(locks);
    let lock = FileLock { owner, pid: -1, kind, start: 0, end: u64::MAX };
    if operation & UNLOCK != 0 {
        locks.unlock(key, LockSpace::Whole, &lock);
        return Ok(0);
    }
    let waits = operation & NON_BLOCKING == 0;
    locks.set(key, LockSpace::Whole, lock, waits.then_some(cx.fiber))?;
    Ok(0)
}
