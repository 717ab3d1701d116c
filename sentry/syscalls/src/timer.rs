//! Interval timers and POSIX timers.

use abi::{Errno, Signal, Timespec, UserAddr};
use kernel::{
    Cx, Pid, SysResult,
    task::{IntervalTimer, TimerNotify, TimerSetting},
};

use crate::{
    Args,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    36, "getitimer",        "dx",   getitimer),
    full(    37, "alarm",            "u",    alarm),
    full(    38, "setitimer",        "dxx",  setitimer),
    partial(222, "timer_create",     "dxx",  timer_create, "no CPU clocks of other processes"),
    full(   223, "timer_settime",    "ddxx", timer_settime),
    full(   224, "timer_gettime",    "dx",   timer_gettime),
    full(   225, "timer_getoverrun", "d",    timer_getoverrun),
    full(   226, "timer_delete",     "d",    timer_delete),
];

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// `TIMER_ABSTIME` (`timer_settime(2)`).
const ABSTIME: u32 = 1;

/// Reads two times that lie one after the other: interval, then value.
fn read_setting(
    cx: &Cx<'_>,
    addr: UserAddr,
    to_ns: fn(Timespec) -> Option<u64>,
) -> Result<TimerSetting, Errno> {
    let interval: Timespec = cx.mm.read_value(addr)?;
    let value: Timespec = cx.mm.read_value(addr.wrapping_add(16))?;
    let ns = |time| to_ns(time).ok_or(Errno::EINVAL);
    Ok(TimerSetting { value_ns: ns(value)?, interval_ns: ns(interval)? })
}

fn write_setting(
    cx: &Cx<'_>,
    addr: UserAddr,
    setting: TimerSetting,
    from_ns: fn(u64) -> Timespec,
) -> Result<(), Errno> {
    cx.mm.write_value(addr, &from_ns(setting.interval_ns))?;
    cx.mm.write_value(addr.wrapping_add(16), &from_ns(setting.value_ns))
}

/// Nanoseconds of a `struct timeval`.
fn timeval_to_ns(time: Timespec) -> Option<u64> {
    let nsec = time.nsec.checked_mul(1000)?;
    Timespec { nsec, ..time }.to_ns()
}

/// A `struct timeval`; what is armed must not seem disarmed.
fn timeval_from_ns(ns: u64) -> Timespec {
    let time = Timespec::from_ns(if ns == 0 { 0 } else { ns.max(1000) });
    Timespec { nsec: time.nsec / 1000, ..time }
}

/// `int getitimer(int which, struct itimerval *curr_value)`
fn getitimer(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let which = IntervalTimer::from_number(args.i32(0))?;
    let setting = cx.process().timers.interval(which);
    write_setting(cx, args.addr(1), setting, timeval_from_ns)?;
    Ok(0)
}

/// `int setitimer(int which, const struct itimerval *new_value, struct itimerval *old_value)`
fn setitimer(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let which = IntervalTimer::from_number(args.i32(0))?;
    // As Linux, which takes no new value for zero.
    let new = if args.addr(1).is_null() {
        TimerSetting::default()
    } else {
        read_setting(cx, args.addr(1), timeval_to_ns)?
    };
    let old = cx.set_interval_timer(which, new);
    if !args.addr(2).is_null() {
        write_setting(cx, args.addr(2), old, timeval_from_ns)?;
    }
    Ok(0)
}

/// `unsigned int alarm(unsigned int seconds)`
fn alarm(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let new = TimerSetting { value_ns: u64::from(args.u32(0)) * SECOND_NS, interval_ns: 0 };
    let left = cx.set_interval_timer(IntervalTimer::Real, new).value_ns;
    Ok(alarm_seconds(left))
}

/// What is left of an alarm: rounded, but not to 0 while it is armed.
const fn alarm_seconds(left_ns: u64) -> u64 {
    let (seconds, rest) = (left_ns / SECOND_NS, left_ns % SECOND_NS);
    let up = rest >= SECOND_NS / 2 || (seconds == 0 && rest > 0);
    if up { seconds + 1 } else { seconds }
}

/// Reads a `struct sigevent` (sigevent(3type)).
fn read_notify(cx: &Cx<'_>, addr: UserAddr) -> Result<TimerNotify, Errno> {
    const SIGNAL: u32 = 0;
    const NONE: u32 = 1;
    const THREAD: u32 = 2;
    const THREAD_ID: u32 = 4;
    if addr.is_null() {
        return Ok(TimerNotify::Process(None));
    }
    let value: u64 = cx.mm.read_value(addr)?;
    let [number, kind, tid]: [u32; 3] = cx.mm.read_value(addr.wrapping_add(8))?;
    let signal = Signal::new(u64::from(number)).ok_or(Errno::EINVAL);
    match kind {
        NONE => Ok(TimerNotify::Nobody),
        // The thread is the C library's: here it is a signal like others.
        SIGNAL | THREAD => Ok(TimerNotify::Process(Some((signal?, value)))),
        THREAD_ID => Ok(TimerNotify::Task(Pid(tid), signal?, value)),
        _ => Err(Errno::EINVAL),
    }
}

/// `int timer_create(clockid_t clockid, struct sigevent *sevp, timer_t *timerid)`
fn timer_create(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let notify = read_notify(cx, args.addr(1))?;
    let id = cx.create_timer(args.i32(0), notify)?;
    if let Err(errno) = cx.mm.write_value(args.addr(2), &id) {
        cx.process().timers.delete(id)?;
        return Err(errno);
    }
    Ok(0)
}

/// `int timer_settime(timer_t timerid, int flags, const struct itimerspec *new_value,
/// struct itimerspec *old_value)`
fn timer_settime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if args.addr(2).is_null() {
        return Err(Errno::EINVAL);
    }
    let new = read_setting(cx, args.addr(2), Timespec::to_ns)?;
    let absolute = args.u32(1) & ABSTIME != 0;
    let old = cx.process().timers.set(args.i32(0), new, absolute)?;
    if !args.addr(3).is_null() {
        write_setting(cx, args.addr(3), old, Timespec::from_ns)?;
    }
    Ok(0)
}

/// `int timer_gettime(timer_t timerid, struct itimerspec *curr_value)`
fn timer_gettime(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let setting = cx.process().timers.setting(args.i32(0))?;
    write_setting(cx, args.addr(1), setting, Timespec::from_ns)?;
    Ok(0)
}

/// `int timer_getoverrun(timer_t timerid)`
fn timer_getoverrun(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.process().timers.overrun(args.i32(0))
}

/// `int timer_delete(timer_t timerid)`
fn timer_delete(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.process().timers.delete(args.i32(0)).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_alarm_has_at_least_a_second_left() {
        let cases = [(0, 0), (1, 1), (SECOND_NS, 1), (1_499_999_999, 1), (1_500_000_000, 2)];
        for (left, seconds) in cases {
            assert_eq!(alarm_seconds(left), seconds);
        }
    }

    #[test]
    fn microseconds_are_checked_and_never_rounded_to_nothing() {
        let time = |sec, nsec| Timespec { sec, nsec };
        assert_eq!(timeval_to_ns(time(1, 999_999)), Some(1_999_999_000));
        for bad in [time(0, 1_000_000), time(0, -1), time(-1, 0), time(0, i64::MAX)] {
            assert_eq!(timeval_to_ns(bad), None);
        }
        assert_eq!(timeval_from_ns(0), time(0, 0));
        assert_eq!(timeval_from_ns(1), time(0, 1));
        assert_eq!(timeval_from_ns(2_000_001_999), time(2, 1));
    }
}
