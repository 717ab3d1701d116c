//! Files without a name: pipes, eventfds, timerfds, memfds, epolls.

use std::sync::Arc;

use abi::{Errno, SigSet, Timespec, UserAddr, fs::open::O_CLOEXEC};
use fs::{
    Shared,
    anon::{self, Epoll, Interest, SignalFd, TimerClock, TimerFd, TimerSetting},
    pipefs,
};
use kernel::{Cx, SysResult};
use vfs::OpenFile;

use crate::{
    Args, path, poll, signal,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    22, "pipe",            "x",      pipe),
    full(   213, "epoll_create",    "d",      epoll_create),
    full(   232, "epoll_wait",      "fxdd",   epoll_wait),
    full(   233, "epoll_ctl",       "fdfx",   epoll_ctl),
    full(   281, "epoll_pwait",     "fxddxu", epoll_pwait),
    partial(282, "signalfd",        "fxu",    signalfd, "signals of the process that made it"),
    full(   283, "timerfd_create",  "dx",     timerfd_create),
    full(   284, "eventfd",         "u",      eventfd),
    full(   286, "timerfd_settime", "fxxx",   timerfd_settime),
    full(   287, "timerfd_gettime", "fx",     timerfd_gettime),
    partial(289, "signalfd4",       "fxux",   signalfd4, "signals of the process that made it"),
    full(   290, "eventfd2",        "ux",     eventfd2),
    full(   291, "epoll_create1",   "x",      epoll_create1),
    full(   293, "pipe2",           "xx",     pipe2),
    partial(319, "memfd_create",    "sx",     memfd_create, "no huge pages"),
    full(   441, "epoll_pwait2",    "fxdxxu", epoll_pwait2),
];

/// What the file systems of the sandbox share.
pub(crate) fn shared(cx: &Cx<'_>) -> Result<Arc<Shared>, Errno> {
    let files = cx.kernel().files.get().cloned().ok_or(Errno::ENOSYS)?;
    files.downcast::<Shared>().map_err(|_| Errno::ENOSYS)
}

fn give(cx: &Cx<'_>, file: &Arc<OpenFile>, flags: u32) -> SysResult {
    let env = cx.env();
    path::install(cx, &env.ctx(), file, flags & O_CLOEXEC != 0)
}

/// `int pipe(int fds[2])`
fn pipe(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_pipe(cx, args.addr(0), 0)
}

/// `int pipe2(int fds[2], int flags)`
fn pipe2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_pipe(cx, args.addr(0), args.u32(1))
}

fn open_pipe(cx: &mut Cx<'_>, out: UserAddr, flags: u32) -> SysResult {
    let env = cx.env();
    let (reader, writer) = pipefs::pipe(&env.ctx(), &shared(cx)?, flags)?;
    install_pair(cx, &reader, &writer, flags & O_CLOEXEC != 0, out)
}

/// Gives two files descriptors and stores their numbers; on failure neither is left open.
pub(crate) fn install_pair(
    cx: &Cx<'_>,
    first: &Arc<OpenFile>,
    second: &Arc<OpenFile>,
    close_on_exec: bool,
    out: UserAddr,
) -> SysResult {
    let env = cx.env();
    let fs = env.ctx();
    let a = match path::install(cx, &fs, first, close_on_exec) {
        Ok(a) => a,
        Err(errno) => {
            second.add_user();
            second.remove_user(&fs);
            return Err(errno);
        }
    };
    let number = |fd: u64| i32::try_from(fd).unwrap_or(-1);
    let b = match path::install(cx, &fs, second, close_on_exec) {
        Ok(b) => b,
        Err(errno) => {
            let _ = cx.close(number(a));
            return Err(errno);
        }
    };
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&number(a).to_le_bytes());
    high.copy_from_slice(&number(b).to_le_bytes());
    if let Err(errno) = cx.mm.write(out, &bytes) {
        let _ = cx.close(number(a));
        let _ = cx.close(number(b));
        return Err(errno);
    }
    Ok(0)
}

/// `int eventfd(unsigned initval)`
fn eventfd(cx: &mut Cx<'_>, args: Args) -> SysResult {
    give(cx, &anon::eventfd(&shared(cx)?, args.u32(0), 0)?, 0)
}

/// `int eventfd2(unsigned initval, int flags)`
fn eventfd2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    give(cx, &anon::eventfd(&shared(cx)?, args.u32(0), args.u32(1))?, args.u32(1))
}

/// `int signalfd(int fd, const sigset_t *mask, size_t size)`
fn signalfd(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_signalfd(cx, args, 0)
}

/// `int signalfd4(int fd, const sigset_t *mask, size_t size, int flags)`
fn signalfd4(cx: &mut Cx<'_>, args: Args) -> SysResult {
    open_signalfd(cx, args, args.u32(3))
}

fn open_signalfd(cx: &mut Cx<'_>, args: Args, flags: u32) -> SysResult {
    if args.get(2) != size_of::<SigSet>() as u64 {
        return Err(Errno::EINVAL);
    }
    let wanted = signal::read_set(cx, args.addr(1))?;
    if args.i32(0) == -1 {
        return give(cx, &anon::signalfd(&shared(cx)?, cx.process(), wanted, flags)?, flags);
    }
    let file = cx.files.get_io(args.i32(0))?;
    file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_wanted(wanted);
    Ok(u64::from(args.u32(0)))
}

/// `int memfd_create(const char *name, unsigned flags)`
fn memfd_create(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const MFD_CLOEXEC: u32 = 1;
    let name = cx.mm.read_string(args.addr(0), 250).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        errno => errno,
    })?;
    let env = cx.env();
    let file = anon::memfd(&env.ctx(), &shared(cx)?, &name, args.u32(1))?;
    let close_on_exec = args.u32(1) & MFD_CLOEXEC != 0;
    path::install(cx, &env.ctx(), &file, close_on_exec)
}

/// `int timerfd_create(int clockid, int flags)`
fn timerfd_create(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let clock = TimerClock::from_number(args.u32(0))?;
    give(cx, &anon::timerfd(&shared(cx)?, clock, args.u32(1))?, args.u32(1))
}

fn write_setting(cx: &Cx<'_>, addr: UserAddr, setting: &TimerSetting) -> Result<(), Errno> {
    cx.mm.write_value(addr, &setting.interval)?;
    cx.mm.write_value(addr.wrapping_add(16), &setting.value)
}

/// `int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)`
fn timerfd_settime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let new = TimerSetting {
        interval: cx.mm.read_value(args.addr(2))?,
        value: cx.mm.read_value(args.addr(2).wrapping_add(16))?,
    };
    let file = cx.files.get_io(args.i32(0))?;
    let timer: &TimerFd = file.downcast().ok_or(Errno::EINVAL)?;
    let env = cx.env();
    let old = timer.set(&env.ctx(), args.u32(1), &new)?;
    if !args.addr(3).is_null() {
        write_setting(cx, args.addr(3), &old)?;
    }
    Ok(0)
}

/// `int timerfd_gettime(int fd, struct itimerspec *now)`
fn timerfd_gettime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let file = cx.files.get_io(args.i32(0))?;
    let timer: &TimerFd = file.downcast().ok_or(Errno::EINVAL)?;
    write_setting(cx, args.addr(1), &timer.setting())?;
    Ok(0)
}

/// `int epoll_create(int size)`
fn epoll_create(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if args.i32(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    give(cx, &Epoll::create(&shared(cx)?, 0)?, 0)
}

/// `int epoll_create1(int flags)`
fn epoll_create1(cx: &mut Cx<'_>, args: Args) -> SysResult {
    give(cx, &Epoll::create(&shared(cx)?, args.u32(0))?, args.u32(0))
}

/// Bytes of `struct epoll_event`, which is packed on x86-64.
const EVENT_BYTES: u64 = 12;

/// `int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)`
fn epoll_ctl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const ADD: i32 = 1;
    const DEL: i32 = 2;
    const MOD: i32 = 3;
    let operation = args.i32(1);
    let interest = if operation == DEL {
        Interest::default()
    } else {
        Interest {
            events: cx.mm.read_value(args.addr(3))?,
            data: cx.mm.read_value(args.addr(3).wrapping_add(4))?,
        }
    };
    let (epoll, fd) = (cx.files.get_io(args.i32(0))?, args.i32(2));
    let file = cx.files.get_io(fd)?;
    if Arc::ptr_eq(&epoll, &file) {
        return Err(Errno::EINVAL);
    }
    let epoll: &Epoll = epoll.downcast().ok_or(Errno::EINVAL)?;
    match operation {
        ADD => epoll.add(fd, &file, interest)?,
        DEL => epoll.delete(fd, &file)?,
        MOD => epoll.modify(fd, &file, interest)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn wait(cx: &mut Cx<'_>, args: Args, deadline_ns: Option<u64>) -> SysResult {
    /// Most events given at once, so that a huge `maxevents` allocates little.
    const EVENTS_MAX: usize = 1024;
    let max = args.i32(2);
    if max <= 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.files.get_io(args.i32(0))?;
    let epoll: &Epoll = file.downcast().ok_or(Errno::EINVAL)?;
    let env = cx.env();
    let max = usize::try_from(max).map_err(|_| Errno::EINVAL)?.min(EVENTS_MAX);
    let found = epoll.wait(&env.ctx(), max, deadline_ns)?;
    let mut bytes = Vec::with_capacity(found.len() * 12);
    for (events, data) in &found {
        bytes.extend_from_slice(&events.to_le_bytes());
        bytes.extend_from_slice(&data.to_le_bytes());
    }
    debug_assert!(bytes.len() as u64 == found.len() as u64 * EVENT_BYTES);
    cx.mm.write(args.addr(1), &bytes)?;
    Ok(found.len() as u64)
}

/// The deadline of a time-out in milliseconds: negative means none, 0 "at once".
fn deadline_of(cx: &Cx<'_>, milliseconds: i32) -> Option<u64> {
    match u64::try_from(milliseconds) {
        Err(_) => None,
        Ok(0) => Some(0),
        Ok(ms) => Some(cx.now_ns().saturating_add(ms * 1_000_000)),
    }
}

/// `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)`
fn epoll_wait(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline = deadline_of(cx, args.i32(3));
    wait(cx, args, deadline)
}

/// Waits with another signal mask, which stays until a signal has been delivered if one ended the
/// wait.
fn wait_with_mask(cx: &mut Cx<'_>, args: Args, deadline_ns: Option<u64>) -> SysResult {
    if args.addr(4).is_null() {
        return wait(cx, args, deadline_ns);
    }
    if args.get(5) != 8 {
        return Err(Errno::EINVAL);
    }
    let mask: SigSet = signal::read_set(cx, args.addr(4))?;
    signal::set_temporary_mask(cx, mask);
    let result = wait(cx, args, deadline_ns);
    if result != Err(Errno::EINTR) {
        signal::end_temporary_mask(cx);
    }
    result
}

/// `int epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout, const sigset_t *mask, size_t size)`
fn epoll_pwait(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline = deadline_of(cx, args.i32(3));
    wait_with_mask(cx, args, deadline)
}

/// `int epoll_pwait2(int epfd, struct epoll_event *events, int maxevents, const struct timespec *timeout, const sigset_t *mask, size_t size)`
fn epoll_pwait2(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let deadline = if args.addr(3).is_null() {
        None
    } else {
        let timeout: Timespec = cx.mm.read_value(args.addr(3))?;
        Some(poll::deadline(cx, timeout)?)
    };
    wait_with_mask(cx, args, deadline)
}
