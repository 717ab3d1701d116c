//! poll(2) and select(2).

use std::sync::Arc;

use abi::{
    Errno, SigSet, Timespec, UserAddr,
    fs::poll::{
        POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND,
        POLLWRNORM,
    },
};
use kernel::{Cx, Resource, SysResult, task::Restart};
use sched::{WaitQueue, Wake};
use vfs::OpenFile;

use crate::{
    Args, signal,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(  7, "poll",     "xud",    poll),
    full( 23, "select",   "dxxxx",  select),
    full(270, "pselect6", "dxxxxx", pselect6),
    full(271, "ppoll",    "xuxxu",  ppoll),
];

/// One file that is asked, and for what.
struct Asked {
    file: Option<Arc<OpenFile>>,
    events: u32,
    /// What was found.
    found: u32,
}

/// The deadline of a time-out (0: at once).
pub(crate) fn deadline(cx: &Cx<'_>, timeout: Timespec) -> Result<u64, Errno> {
    match timeout.to_ns().ok_or(Errno::EINVAL)? {
        0 => Ok(0),
        ns => Ok(cx.now_ns().saturating_add(ns)),
    }
}

/// Waits until one of the files has an event it is asked for; returns how many have.
fn wait_for(cx: &Cx<'_>, asked: &mut [Asked], deadline_ns: Option<u64>) -> Result<usize, Errno> {
    let look = |asked: &mut [Asked]| {
        for one in asked.iter_mut() {
            one.found = match &one.file {
                Some(file) => file.file().poll() & (one.events | POLLERR | POLLHUP),
                None => one.found,
            };
        }
        asked.iter().filter(|one| one.found != 0).count()
    };
    let ready = look(asked);
    if ready > 0 || deadline_ns == Some(0) {
        return Ok(ready);
    }
    let files: Vec<_> = asked.iter().filter_map(|one| one.file.clone()).collect();
    let queues: Vec<&WaitQueue> =
        files.iter().filter_map(|file| file.file().wait_queue()).collect();
    let mask = asked.iter().fold(POLLERR | POLLHUP, |mask, one| mask | one.events);
    let some = || match look(asked) {
        0 => None,
        ready => Some(ready),
    };
    match sched::wait_until(cx.fiber, &queues, mask, deadline_ns, some) {
        Ok(ready) => Ok(ready),
        Err(Wake::TimedOut) => Ok(0),
        Err(_) => Err(Errno::EINTR),
    }
}

/// Bytes of `struct pollfd`.
const POLLFD_BYTES: u64 = 8;

fn poll_fds(
    cx: &Cx<'_>,
    addr: UserAddr,
    count: u64,
    deadline_ns: Option<u64>,
) -> Result<u64, Errno> {
    let limit = cx.process().limits.lock().soft(Resource::Nofile);
    if count > limit.min(1 << 20) {
        return Err(Errno::EINVAL);
    }
    let len = usize::try_from(count * POLLFD_BYTES).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    cx.mm.read(addr, &mut bytes)?;
    let mut asked: Vec<Asked> = bytes.as_chunks::<8>().0.iter().map(|fd| ask(cx, fd)).collect();
    let ready = wait_for(cx, &mut asked, deadline_ns)?;
    for (fd, one) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&asked) {
        let [low, high, ..] = one.found.to_le_bytes();
        fd[6] = low;
        fd[7] = high;
    }
    cx.mm.write(addr, &bytes)?;
    Ok(ready as u64)
}

fn ask(cx: &Cx<'_>, [a, b, c, d, low, high, ..]: &[u8; 8]) -> Asked {
    let fd = i32::from_le_bytes([*a, *b, *c, *d]);
    let events = u32::from(u16::from_le_bytes([*low, *high]));
    if fd < 0 {
        return Asked { file: None, events: 0, found: 0 };
    }
    let file = cx.files.get_io(fd).ok();
    let found = if file.is_none() { POLLNVAL } else { 0 };
    Asked { file, events, found }
}

/// `int poll(struct pollfd *fds, nfds_t nfds, int timeout)`
fn poll(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline_ns = match u64::try_from(args.i32(2)) {
        Err(_) => None,
        Ok(0) => Some(0),
        Ok(ms) => Some(cx.now_ns().saturating_add(ms * 1_000_000)),
    };
    let (fds, count) = (args.addr(0), u64::from(args.u32(1)));
    restartable_poll(cx, fds, count, deadline_ns)
}

/// poll(2) that goes on with the same deadline if no handler has run (`restart_syscall(2)`).
pub(crate) fn restartable_poll(
    cx: &mut Cx<'_>,
    fds: UserAddr,
    count: u64,
    deadline_ns: Option<u64>,
) -> SysResult {
    match poll_fds(cx, fds, count, deadline_ns) {
        Err(Errno::EINTR) => {
            *cx.task.restart.lock() = Restart::Poll { fds, count, deadline_ns };
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        result => result,
    }
}

/// Runs `wait` with another signal mask, if one is given.
fn with_mask(
    cx: &mut Cx<'_>,
    mask: Option<SigSet>,
    wait: impl FnOnce(&mut Cx<'_>) -> SysResult,
) -> SysResult {
    if let Some(mask) = mask {
        signal::set_temporary_mask(cx, mask);
    }
    let result = match wait(cx) {
        Err(Errno::EINTR) => return Err(Errno::ERESTARTNOHAND),
        result => result,
    };
    if mask.is_some() {
        signal::end_temporary_mask(cx);
    }
    result
}

/// Stores what is left of a time-out, as Linux does; a null address and a bad one are ignored.
fn write_rest(cx: &Cx<'_>, addr: UserAddr, deadline_ns: Option<u64>, micro: bool) {
    if let Some(deadline) = deadline_ns.filter(|_| !addr.is_null()) {
        let mut rest = Timespec::from_ns(deadline.saturating_sub(cx.now_ns()));
        if micro {
            rest.nsec /= 1000;
        }
        let _ = cx.mm.write_value(addr, &rest);
    }
}

/// `int ppoll(struct pollfd *fds, nfds_t nfds, struct timespec *timeout, const sigset_t *mask, size_t size)`
fn ppoll(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline_ns = if args.addr(2).is_null() {
        None
    } else {
        Some(deadline(cx, cx.mm.read_value(args.addr(2))?)?)
    };
    let mask = read_mask(cx, args.addr(3), args.get(4))?;
    let (fds, count) = (args.addr(0), u64::from(args.u32(1)));
    let result = with_mask(cx, mask, |cx| poll_fds(cx, fds, count, deadline_ns));
    write_rest(cx, args.addr(2), deadline_ns, false);
    result
}

fn read_mask(cx: &Cx<'_>, addr: UserAddr, size: u64) -> Result<Option<SigSet>, Errno> {
    if addr.is_null() {
        return Ok(None);
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    signal::read_set(cx, addr).map(Some)
}

/// Most descriptors of a set that are looked at.
const FDS_MAX: usize = 65_536;

/// The events behind the three sets of select(2) (Linux: `POLLIN_SET` and its like).
const SETS: [u32; 3] = [
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    POLLPRI,
];

fn select_fds(
    cx: &Cx<'_>,
    count: i32,
    sets: [UserAddr; 3],
    deadline_ns: Option<u64>,
) -> Result<u64, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(FDS_MAX);
    let bytes = count.div_ceil(64) * 8;
    let mut wanted = [vec![0_u8; bytes], vec![0; bytes], vec![0; bytes]];
    for (set, addr) in wanted.iter_mut().zip(sets) {
        if !addr.is_null() {
            cx.mm.read(addr, set)?;
        }
    }
    let has = |set: &[u8], fd: usize| set.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 != 0);
    let mut asked = Vec::new();
    let mut numbers = Vec::new();
    for fd in 0..count {
        let events = wanted.iter().zip(SETS).filter(|(set, _)| has(set, fd));
        let events = events.fold(0, |events, (_, bits)| events | bits);
        if events != 0 {
            let file = cx.files.get_io(i32::try_from(fd).map_err(|_| Errno::EBADF)?)?;
            asked.push(Asked { file: Some(file), events, found: 0 });
            numbers.push(fd);
        }
    }
    wait_for(cx, &mut asked, deadline_ns)?;
    let mut total = 0;
    for ((set, bits), addr) in wanted.iter().zip(SETS).zip(sets) {
        let mut out = vec![0_u8; bytes];
        for (fd, one) in numbers.iter().zip(&asked) {
            if one.found & bits != 0 && has(set, *fd) {
                total += 1;
                if let Some(byte) = out.get_mut(fd / 8) {
                    *byte |= 1 << (fd % 8);
                }
            }
        }
        if !addr.is_null() {
            cx.mm.write(addr, &out)?;
        }
    }
    Ok(total)
}

/// `int select(int nfds, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)`
fn select(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline_ns = if args.addr(4).is_null() {
        None
    } else {
        let time: Timespec = cx.mm.read_value(args.addr(4))?;
        if time.nsec < 0 {
            return Err(Errno::EINVAL);
        }
        let (sec, nsec) = (time.nsec / 1_000_000, time.nsec % 1_000_000 * 1000);
        Some(deadline(cx, Timespec { sec: time.sec.saturating_add(sec), nsec })?)
    };
    let sets = [args.addr(1), args.addr(2), args.addr(3)];
    let result = with_mask(cx, None, |cx| select_fds(cx, args.i32(0), sets, deadline_ns));
    write_rest(cx, args.addr(4), deadline_ns, true);
    result
}

/// `int pselect6(int nfds, fd_set *read, fd_set *write, fd_set *except, struct timespec *timeout, void *mask_and_size)`
fn pselect6(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline_ns = if args.addr(4).is_null() {
        None
    } else {
        Some(deadline(cx, cx.mm.read_value(args.addr(4))?)?)
    };
    let mask = if args.addr(5).is_null() {
        None
    } else {
        let addr: u64 = cx.mm.read_value(args.addr(5))?;
        let size: u64 = cx.mm.read_value(args.addr(5).wrapping_add(8))?;
        read_mask(cx, UserAddr::new(addr), size)?
    };
    let sets = [args.addr(1), args.addr(2), args.addr(3)];
    let result = with_mask(cx, mask, |cx| select_fds(cx, args.i32(0), sets, deadline_ns));
    write_rest(cx, args.addr(4), deadline_ns, false);
    result
}
