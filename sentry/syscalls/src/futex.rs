//! Futexes (futex(2)).

use std::sync::atomic::Ordering;

use abi::{Errno, Timespec, UserAddr};
use kernel::{
    Cx, SysResult,
    futex::{BITSET_ANY, Waited},
    task::Restart,
};

use crate::{
    Args,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    partial(202, "futex",           "xduxxx", futex, "no priority inheritance"),
    full(   273, "set_robust_list", "xu",     set_robust_list),
    full(   274, "get_robust_list", "dxx",    get_robust_list),
    full(   449, "futex_waitv",     "xuxxd",  futex_waitv),
];

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

/// `long futex(u32 *addr, int op, u32 val, const struct timespec *timeout, u32 *addr2, u32 val3)`
fn futex(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let operation = args.u32(1);
    let private = operation & PRIVATE != 0;
    let (addr, value) = (args.addr(0), args.u32(2));
    match operation & !(PRIVATE | CLOCK_REALTIME) {
        WAIT => wait(cx, args, addr, value, private),
        WAIT_BITSET => wait_bitset(cx, args, addr, value, private),
        WAKE => wake(cx, addr, private, value, BITSET_ANY),
        WAKE_BITSET if args.u32(5) == 0 => Err(Errno::EINVAL),
        WAKE_BITSET => wake(cx, addr, private, value, args.u32(5)),
        REQUEUE => requeue(cx, args, private, None),
        CMP_REQUEUE => requeue(cx, args, private, Some(args.u32(5))),
        WAKE_OP => wake_op(cx, args, private),
        _ => Err(Errno::ENOSYS),
    }
}

fn wait(cx: &mut Cx<'_>, args: Args, addr: UserAddr, value: u32, private: bool) -> SysResult {
    let deadline_ns = if args.addr(3).is_null() {
        None
    } else {
        let timeout: Timespec = cx.mm.read_value(args.addr(3))?;
        Some(cx.now_ns().saturating_add(timeout.to_ns().ok_or(Errno::EINVAL)?))
    };
    wait_until(cx, addr, value, private, BITSET_ANY, deadline_ns)
}

/// `FUTEX_WAIT` up to a deadline; goes on with the same one if no handler has run.
pub(crate) fn wait_until(
    cx: &mut Cx<'_>,
    addr: UserAddr,
    value: u32,
    private: bool,
    bitset: u32,
    deadline_ns: Option<u64>,
) -> SysResult {
    match cx.kernel().futexes.wait(cx, addr, value, private, bitset, deadline_ns)? {
        Waited::Woken => Ok(0),
        Waited::TimedOut => Err(Errno::ETIMEDOUT),
        Waited::Interrupted => {
            let Some(deadline_ns) = deadline_ns else { return Err(Errno::ERESTARTSYS) };
            *cx.task.restart.lock() = Restart::Futex { addr, value, deadline_ns, private, bitset };
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
    }
}

fn wait_bitset(
    cx: &mut Cx<'_>,
    args: Args,
    addr: UserAddr,
    value: u32,
    private: bool,
) -> SysResult {
    let bitset = args.u32(5);
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let deadline_ns = if args.addr(3).is_null() {
        None
    } else {
        let at: Timespec = cx.mm.read_value(args.addr(3))?;
        let realtime = args.u32(1) & CLOCK_REALTIME != 0;
        Some(crate::time::to_monotonic(at.to_ns().ok_or(Errno::EINVAL)?, realtime))
    };
    match cx.kernel().futexes.wait(cx, addr, value, private, bitset, deadline_ns)? {
        Waited::Woken => Ok(0),
        Waited::TimedOut => Err(Errno::ETIMEDOUT),
        Waited::Interrupted => Err(Errno::ERESTARTSYS),
    }
}

fn wake(cx: &Cx<'_>, addr: UserAddr, private: bool, count: u32, bitset: u32) -> SysResult {
    let key = cx.mm.futex_key(addr, private)?;
    Ok(u64::from(cx.kernel().futexes.wake(&key, count.min(i32::MAX.unsigned_abs()), bitset)))
}

fn requeue(cx: &Cx<'_>, args: Args, private: bool, check: Option<u32>) -> SysResult {
    let (wake, moved) = (args.i32(2), args.i32(3));
    if wake < 0 || moved < 0 {
        return Err(Errno::EINVAL);
    }
    let from = cx.mm.futex_key(args.addr(0), private)?;
    let to = cx.mm.futex_key(args.addr(4), private)?;
    let counts = (wake.unsigned_abs(), moved.unsigned_abs());
    let (woken, moved) =
        cx.kernel().futexes.requeue(cx, (&from, args.addr(0)), &to, counts, check)?;
    // FUTEX_REQUEUE returns the woken ones alone, FUTEX_CMP_REQUEUE both (futex(2)).
    Ok(u64::from(woken) + if check.is_some() { u64::from(moved) } else { 0 })
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes at the first, and at the second if its old
/// value compares as wanted.
fn wake_op(cx: &Cx<'_>, args: Args, private: bool) -> SysResult {
    let encoded = args.u32(5);
    let first = cx.mm.futex_key(args.addr(0), private)?;
    let second = cx.mm.futex_key(args.addr(4), private)?;
    let signed = |bits: u32| ((bits << 20).cast_signed() >> 20).cast_unsigned();
    let (operand, compared) = (signed(encoded >> 12 & 0xfff), signed(encoded & 0xfff));
    let operand =
        if encoded >> 31 != 0 { 1_u32.checked_shl(operand & 31).unwrap_or(0) } else { operand };
    let mut old = cx.mm.load_u32(args.addr(4))?;
    loop {
        let new = match encoded >> 28 & 7 {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            4 => old ^ operand,
            _ => return Err(Errno::ENOSYS),
        };
        match cx.mm.compare_exchange_u32(args.addr(4), old, new)? {
            seen if seen == old => break,
            seen => old = seen,
        }
    }
    let (a, b) = (old.cast_signed(), compared.cast_signed());
    let holds = match encoded >> 24 & 0xf {
        0 => a == b,
        1 => a != b,
        2 => a < b,
        3 => a <= b,
        4 => a > b,
        5 => a >= b,
        _ => return Err(Errno::ENOSYS),
    };
    let futexes = &cx.kernel().futexes;
    let mut woken = futexes.wake(&first, args.u32(2), BITSET_ANY);
    if holds {
        woken += futexes.wake(&second, args.u32(3), BITSET_ANY);
    }
    Ok(u64::from(woken))
}

/// `long set_robust_list(struct robust_list_head *head, size_t len)`
fn set_robust_list(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if args.get(1) != 24 {
        return Err(Errno::EINVAL);
    }
    cx.task.robust_list.store(args.get(0), Ordering::Relaxed);
    Ok(0)
}

/// `long get_robust_list(int pid, struct robust_list_head **head, size_t *len)`
fn get_robust_list(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let head = match args.pid(0).map_err(|_| Errno::ESRCH)? {
        kernel::Pid(0) => cx.task.robust_list.load(Ordering::Relaxed),
        pid => {
            let task = cx.kernel().task(pid).ok_or(Errno::ESRCH)?;
            if !cx.task.may_signal(&task.process, abi::Signal::SIGTERM) {
                return Err(Errno::EPERM);
            }
            task.robust_list.load(Ordering::Relaxed)
        }
    };
    cx.mm.write(args.addr(2), &24_u64.to_le_bytes())?;
    cx.mm.write(args.addr(1), &head.to_le_bytes())?;
    Ok(0)
}

/// `long futex_waitv(struct futex_waitv *waiters, unsigned nr, unsigned flags, struct timespec *timeout, clockid_t clock)`
fn futex_waitv(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const MOST: u32 = 128;
    const SIZE_U32: u64 = 2;
    let count = args.u32(1);
    if args.u32(2) != 0 || count == 0 || count > MOST || args.addr(0).is_null() {
        return Err(Errno::EINVAL);
    }
    let deadline_ns = if args.addr(3).is_null() {
        None
    } else {
        let at: Timespec = cx.mm.read_value(args.addr(3))?;
        let realtime = match args.i32(4) {
            0 => true,
            1 => false,
            _ => return Err(Errno::EINVAL),
        };
        Some(crate::time::to_monotonic(at.to_ns().ok_or(Errno::EINVAL)?, realtime))
    };
    let mut words = Vec::new();
    for index in 0..u64::from(count) {
        let at = args.addr(0).wrapping_add(index * 24);
        let word = |offset: u64| cx.mm.read_value::<u64>(at.wrapping_add(offset));
        let (value, addr, flags) = (word(0)?, word(8)?, word(16)?);
        let private = flags & u64::from(PRIVATE) != 0;
        let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
        if flags & !u64::from(PRIVATE) != SIZE_U32 {
            return Err(Errno::EINVAL);
        }
        words.push((UserAddr::new(addr), value, private));
    }
    cx.kernel().futexes.wait_any(cx, &words, deadline_ns).map(|index| index as u64)
}
