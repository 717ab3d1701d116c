//! Reading and writing by descriptor.

use abi::{AddrRange, Errno, SigInfo, Signal, UserAddr};
use kernel::{Cx, Resource, SysResult, UserDst, UserSrc, signal::Sender};
use vfs::OpenFile;

use crate::{
    Args, attributes,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(     0, "read",            "fxu",    read),
    full(     1, "write",           "fbu",    write),
    full(    17, "pread64",         "fxud",   pread64),
    full(    18, "pwrite64",        "fbud",   pwrite64),
    full(    19, "readv",           "fxu",    readv),
    full(    20, "writev",          "fxu",    writev),
    full(   295, "preadv",          "fxudx",  preadv),
    full(   296, "pwritev",         "fxudx",  pwritev),
    partial(327, "preadv2",         "fxudxx", preadv2, "no flags"),
    partial(328, "pwritev2",        "fxudxx", pwritev2, "no flags"),
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
        attributes::check_file_size(cx, u64::MAX)?;
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
