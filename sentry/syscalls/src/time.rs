//! Clocks and sleeping.

use abi::{Errno, Timespec, UserAddr};
use kernel::{Cx, Pid, SysResult, task::Restart};
use sched::{Wait, Wake};

use crate::{
    Args, futex, poll,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    35, "nanosleep",       "xx",   nanosleep),
    full(    96, "gettimeofday",    "xx",   gettimeofday),
    full(   100, "times",           "x",    times),
    full(   164, "settimeofday",    "xx",   settimeofday),
    full(   201, "time",            "x",    time),
    full(   219, "restart_syscall", "",     restart_syscall),
    partial(227, "clock_settime",   "dx",   clock_settime, "nobody may set the clock"),
    full(   228, "clock_gettime",   "dx",   clock_gettime),
    full(   229, "clock_getres",    "dx",   clock_getres),
    full(   230, "clock_nanosleep", "dxxx", clock_nanosleep),
];

/// Ticks of a second as times(2) counts (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;

/// A point of `CLOCK_REALTIME` (or `CLOCK_MONOTONIC`) as one of `CLOCK_MONOTONIC`.
pub(crate) fn to_monotonic(at_ns: u64, realtime: bool) -> u64 {
    if !realtime {
        return at_ns;
    }
    let (now, monotonic) = (host::clock::realtime_ns(), host::clock::monotonic_ns());
    monotonic.saturating_add(at_ns.saturating_sub(now))
}

/// What clock `number` shows now: what programs read without a call, where they can.
pub(crate) fn read_clock(cx: &Cx<'_>, number: i32) -> Result<u64, Errno> {
    let page = cx.kernel().vdso.as_ref().zip(u32::try_from(number).ok());
    if let Some(now) = page.and_then(|(vdso, number)| vdso.read(number)) {
        return Ok(now);
    }
    Ok(match number {
        0 | 5 | 8 => host::clock::realtime_ns(),
        11 => host::clock::realtime_ns(),
        1 | 4 | 6 => host::clock::monotonic_ns(),
        7 | 9 => host::clock::boottime_ns(),
        2 => sum(cx.process().cpu_times()),
        3 => sum(cx.task.cpu_times()),
        number if number < 0 => cpu_clock(cx, number)?,
        _ => return Err(Errno::EINVAL),
    })
}

const fn sum((user, system): (u64, u64)) -> u64 {
    user + system
}

/// Clocks of other processes and threads (`clock_getcpuclockid(3)`): the number holds the inverted
/// pid, bit 2 says "thread".
fn cpu_clock(cx: &Cx<'_>, number: i32) -> Result<u64, Errno> {
    let pid = Pid((!(number >> 3)).cast_unsigned());
    let thread = number & 4 != 0;
    if number & 3 == 3 {
        return Err(Errno::EINVAL);
    }
    if thread {
        let task = if pid.0 == 0 { Some(cx.task.clone()) } else { cx.kernel().task(pid) };
        return task.map(|task| sum(task.cpu_times())).ok_or(Errno::EINVAL);
    }
    if pid.0 == 0 {
        return Ok(sum(cx.process().cpu_times()));
    }
    let tree = cx.kernel().tree.lock();
    tree.process(pid).map(|node| sum(node.process.cpu_times())).ok_or(Errno::EINVAL)
}

/// `int clock_gettime(clockid_t clockid, struct timespec *tp)`
fn clock_gettime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let now = Timespec::from_ns(read_clock(cx, args.i32(0))?);
    cx.mm.write_value(args.addr(1), &now)?;
    Ok(0)
}

/// `int clock_getres(clockid_t clockid, struct timespec *res)`
fn clock_getres(cx: &mut Cx<'_>, args: Args) -> SysResult {
    read_clock(cx, args.i32(0))?;
    let coarse = matches!(args.i32(0), 5 | 6);
    let resolution = Timespec { sec: 0, nsec: if coarse { 4_000_000 } else { 1 } };
    if !args.addr(1).is_null() {
        cx.mm.write_value(args.addr(1), &resolution)?;
    }
    Ok(0)
}

/// `int clock_settime(clockid_t clockid, const struct timespec *tp)`
fn clock_settime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let time: Timespec = cx.mm.read_value(args.addr(1))?;
    match (args.i32(0), time.to_ns()) {
        (0, Some(_)) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// `int settimeofday(const struct timeval *tv, const struct timezone *tz)`
fn settimeofday(_: &mut Cx<'_>, _: Args) -> SysResult {
    Err(Errno::EPERM)
}

/// `int gettimeofday(struct timeval *tv, struct timezone *tz)`
fn gettimeofday(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if !args.addr(0).is_null() {
        let now = Timespec::from_ns(read_clock(cx, 0)?);
        cx.mm.write_value(args.addr(0), &Timespec { nsec: now.nsec / 1000, ..now })?;
    }
    if !args.addr(1).is_null() {
        cx.mm.write(args.addr(1), &[0; 8])?;
    }
    Ok(0)
}

/// `time_t time(time_t *tloc)`
fn time(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let seconds = read_clock(cx, 0)? / 1_000_000_000;
    if !args.addr(0).is_null() {
        cx.mm.write(args.addr(0), &seconds.to_le_bytes())?;
    }
    Ok(seconds)
}

/// `clock_t times(struct tms *buf)`
fn times(cx: &mut Cx<'_>, args: Args) -> SysResult {
    use std::sync::atomic::Ordering::Relaxed;
    let (user, system) = cx.process().cpu_times();
    let times = &cx.process().times;
    let children = (times.children_user_ns.load(Relaxed), times.children_system_ns.load(Relaxed));
    if !args.addr(0).is_null() {
        let words = [user, system, children.0, children.1];
        let bytes: Vec<u8> = words.iter().flat_map(|ns| (ns / TICK_NS).to_le_bytes()).collect();
        cx.mm.write(args.addr(0), &bytes)?;
    }
    Ok(cx.now_ns() / TICK_NS)
}

/// `int nanosleep(const struct timespec *req, struct timespec *rem)`
fn nanosleep(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let wanted: Timespec = cx.mm.read_value(args.addr(0))?;
    let deadline_ns = cx.now_ns().saturating_add(wanted.to_ns().ok_or(Errno::EINVAL)?);
    sleep_until(cx, deadline_ns, args.addr(1))
}

/// Sleeps; if a signal ends it, `rest` gets what is left and the call goes on with the same
/// deadline if no handler runs.
fn sleep_until(cx: &mut Cx<'_>, deadline_ns: u64, rest: UserAddr) -> SysResult {
    if sleep(cx, deadline_ns) {
        return Ok(0);
    }
    if !rest.is_null() {
        let left = Timespec::from_ns(deadline_ns.saturating_sub(cx.now_ns()));
        cx.mm.write_value(rest, &left)?;
    }
    *cx.task.restart.lock() = Restart::Sleep { deadline_ns, rest };
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// True if the deadline came.
fn sleep(cx: &Cx<'_>, deadline_ns: u64) -> bool {
    loop {
        if cx.now_ns() >= deadline_ns {
            return true;
        }
        match cx.fiber.block(Wait { deadline_ns: Some(deadline_ns), interruptible: true }) {
            Wake::TimedOut => return true,
            Wake::Woken => {}
            Wake::Interrupted | Wake::Stopping => return false,
        }
    }
}

/// `int clock_nanosleep(clockid_t clockid, int flags, const struct timespec *req, struct timespec *rem)`
fn clock_nanosleep(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const ABSTIME: u32 = 1;
    let clock = args.i32(0);
    if clock == 3 || matches!(clock, 4..=6) {
        return Err(if clock == 3 { Errno::EINVAL } else { Errno::EOPNOTSUPP });
    }
    let now = read_clock(cx, clock)?;
    let wanted: Timespec = cx.mm.read_value(args.addr(2))?;
    let wanted = wanted.to_ns().ok_or(Errno::EINVAL)?;
    if args.u32(1) & ABSTIME == 0 {
        let deadline_ns = cx.now_ns().saturating_add(wanted);
        return sleep_until(cx, deadline_ns, args.addr(3));
    }
    let deadline_ns = cx.now_ns().saturating_add(wanted.saturating_sub(now));
    if sleep(cx, deadline_ns) { Ok(0) } else { Err(Errno::ERESTARTNOHAND) }
}

/// `long restart_syscall(void)`
fn restart_syscall(cx: &mut Cx<'_>, _: Args) -> SysResult {
    let restart = std::mem::take(&mut *cx.task.restart.lock());
    match restart {
        Restart::None => Err(Errno::EINTR),
        Restart::Sleep { deadline_ns, rest } => sleep_until(cx, deadline_ns, rest),
        Restart::Poll { fds, count, deadline_ns } => {
            poll::restartable_poll(cx, fds, count, deadline_ns)
        }
        Restart::Futex { addr, value, deadline_ns, private, bitset } => {
            futex::wait_until(cx, addr, value, private, bitset, Some(deadline_ns))
        }
    }
}
