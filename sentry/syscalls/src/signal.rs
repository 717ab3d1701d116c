//! Signals: actions, masks, sending, waiting.

use abi::{Errno, SigAction, SigFields, SigInfo, SigSet, Signal, Timespec, UserAddr, signal::code};
use kernel::{
    Cx, Pid, SysResult,
    signal::{AltStack, Sender},
};
use sched::{Wait, Wake};

use crate::{
    Args,
    table::{Entry, full},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full( 13, "rt_sigaction",      "Sxxu",  rt_sigaction),
    full( 14, "rt_sigprocmask",    "dxxu",  rt_sigprocmask),
    full( 15, "rt_sigreturn",      "",      rt_sigreturn),
    full( 34, "pause",             "",      pause),
    full( 62, "kill",              "dS",    kill),
    full(127, "rt_sigpending",     "xu",    rt_sigpending),
    full(128, "rt_sigtimedwait",   "xxxu",  rt_sigtimedwait),
    full(129, "rt_sigqueueinfo",   "dSx",   rt_sigqueueinfo),
    full(130, "rt_sigsuspend",     "xu",    rt_sigsuspend),
    full(131, "sigaltstack",       "xx",    sigaltstack),
    full(200, "tkill",             "dS",    tkill),
    full(234, "tgkill",            "ddS",   tgkill),
    full(297, "rt_tgsigqueueinfo", "ddSx",  rt_tgsigqueueinfo),
];

/// Checks a `sigsetsize` argument.
fn check_size(size: u64) -> Result<(), Errno> {
    if size == 8 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Copies a signal set.
pub(crate) fn read_set(cx: &Cx<'_>, addr: UserAddr) -> Result<SigSet, Errno> {
    cx.mm.read_value::<u64>(addr).map(SigSet)
}

fn signal_arg(number: u64) -> Result<Signal, Errno> {
    Signal::new(number & 0xffff_ffff).ok_or(Errno::EINVAL)
}

/// `int rt_sigaction(int signum, const struct sigaction *act, struct sigaction *old, size_t size)`
fn rt_sigaction(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_size(args.get(3))?;
    let signal = signal_arg(args.get(0))?;
    let actions = cx.process().actions();
    let old = actions.get(signal);
    if !args.addr(1).is_null() {
        let mut action: SigAction = cx.mm.read_value(args.addr(1))?;
        if signal.is_unblockable() {
            return Err(Errno::EINVAL);
        }
        action.mask = SigSet(action.mask).without(SigSet::UNBLOCKABLE).0;
        actions.set(signal, action);
        if actions.ignores(signal) {
            cx.process().pending.lock().discard(SigSet::of(signal));
            for task in cx.process().threads() {
                task.pending.lock().discard(SigSet::of(signal));
            }
        }
    }
    if !args.addr(2).is_null() {
        cx.mm.write_value(args.addr(2), &old)?;
    }
    Ok(0)
}

/// `int rt_sigprocmask(int how, const sigset_t *set, sigset_t *old, size_t size)`
fn rt_sigprocmask(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_size(args.get(3))?;
    let old = cx.task.blocked();
    if !args.addr(1).is_null() {
        let set = read_set(cx, args.addr(1))?;
        let new = match args.i32(0) {
            0 => old.union(set),
            1 => old.without(set),
            2 => set,
            _ => return Err(Errno::EINVAL),
        };
        cx.task.set_blocked(new);
    }
    if !args.addr(2).is_null() {
        cx.mm.write(args.addr(2), &old.0.to_le_bytes())?;
    }
    Ok(0)
}

/// `int rt_sigreturn(void)`
fn rt_sigreturn(cx: &mut Cx<'_>, _: Args) -> SysResult {
    cx.keep_registers();
    if cx.signal_return().is_err() {
        cx.force(SigInfo::kernel(Signal::SIGSEGV));
    }
    Ok(0)
}

/// Waits for a signal that is not blocked.
fn wait_for_signal(cx: &Cx<'_>) -> Errno {
    while cx.fiber.block(Wait { deadline_ns: None, interruptible: true }) == Wake::Woken {}
    Errno::ERESTARTNOHAND
}

/// `int pause(void)`
fn pause(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Err(wait_for_signal(cx))
}

/// Sets a mask for the time of one call; the old one comes back at the user boundary, after a
/// handler was chosen (sigsuspend(2), ppoll(2)).
pub(crate) fn set_temporary_mask(cx: &Cx<'_>, mask: SigSet) {
    let old = cx.task.blocked();
    cx.task.saved_mask.lock().get_or_insert(old);
    cx.task.set_blocked(mask);
}

/// Undoes [`set_temporary_mask`] where no signal has ended the call.
pub(crate) fn end_temporary_mask(cx: &Cx<'_>) {
    let saved = cx.task.saved_mask.lock().take();
    if let Some(mask) = saved {
        cx.task.set_blocked(mask);
    }
}

/// `int rt_sigsuspend(const sigset_t *mask, size_t size)`
fn rt_sigsuspend(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_size(args.get(1))?;
    let mask = read_set(cx, args.addr(0))?;
    set_temporary_mask(cx, mask);
    Err(wait_for_signal(cx))
}

/// `int rt_sigpending(sigset_t *set, size_t size)`
fn rt_sigpending(cx: &mut Cx<'_>, args: Args) -> SysResult {
    if args.get(1) > 8 {
        return Err(Errno::EINVAL);
    }
    let set = cx.task.pending_set().intersection(cx.task.blocked());
    let bytes = set.0.to_le_bytes();
    cx.mm.write(args.addr(0), bytes.get(..args.size(1)).unwrap_or_default())?;
    Ok(0)
}

/// `int rt_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout, size_t size)`
fn rt_sigtimedwait(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_size(args.get(3))?;
    let set = read_set(cx, args.addr(0))?.without(SigSet::UNBLOCKABLE);
    let deadline_ns = if args.addr(2).is_null() {
        None
    } else {
        let timeout: Timespec = cx.mm.read_value(args.addr(2))?;
        Some(cx.now_ns().saturating_add(timeout.to_ns().ok_or(Errno::EINVAL)?))
    };
    cx.task.set_awaited(set);
    let result = wait_for_one_of(cx, set, deadline_ns);
    cx.task.set_awaited(SigSet::EMPTY);
    let info = result?;
    if !args.addr(1).is_null() {
        cx.mm.write(args.addr(1), &info.to_bytes())?;
    }
    Ok(u64::from(info.signal.number()))
}

fn wait_for_one_of(cx: &Cx<'_>, set: SigSet, deadline_ns: Option<u64>) -> Result<SigInfo, Errno> {
    loop {
        if let Some(info) = cx.task.take_signal(set) {
            return Ok(info);
        }
        if cx.task.has_deliverable() || cx.leaving() {
            return Err(Errno::EINTR);
        }
        cx.fiber.entity().clear_interrupt();
        if !cx.task.pending_set().intersection(set).is_empty() || cx.task.has_deliverable() {
            continue;
        }
        match cx.fiber.block(Wait { deadline_ns, interruptible: true }) {
            Wake::TimedOut => return Err(Errno::EAGAIN),
            Wake::Stopping => return Err(Errno::ERESTARTNOHAND),
            Wake::Woken | Wake::Interrupted if cx.process().is_stopped() => {
                return Err(Errno::EINTR);
            }
            Wake::Woken | Wake::Interrupted => {}
        }
    }
}

fn user_info(cx: &Cx<'_>, signal: Signal, code: i32) -> SigInfo {
    SigInfo { code, ..SigInfo::user(signal, cx.process().pid.0, cx.creds().ruid) }
}

/// `int kill(pid_t pid, int sig)`
fn kill(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let signal = match args.get(1) & 0xffff_ffff {
        0 => None,
        number => Some(signal_arg(number)?),
    };
    let own = cx.process().pid;
    let targets: Vec<_> = {
        let tree = cx.kernel().tree.lock();
        let own_group = tree.process(own).map(|node| node.group);
        let wanted = |pid: Pid, group: Pid| match args.i32(0) {
            0 => Some(group) == own_group,
            -1 => pid != Pid::INIT && pid != own,
            target if target < 0 => group.0 == target.unsigned_abs(),
            target => pid.0 == target.unsigned_abs(),
        };
        let all = tree.processes.values();
        all.filter(|node| wanted(node.process.pid, node.group))
            .map(|node| node.process.clone())
            .collect()
    };
    let mut result = Err(Errno::ESRCH);
    for process in targets {
        if !cx.task.may_signal(&process, signal.unwrap_or(Signal::SIGTERM)) {
            if result.is_err() {
                result = Err(Errno::EPERM);
            }
            continue;
        }
        match signal {
            Some(signal) => {
                let sent = process.send(user_info(cx, signal, code::SI_USER), Sender::Inside);
                if result.is_err() {
                    result = sent.map(|()| 0);
                }
            }
            None => result = Ok(0),
        }
    }
    result
}

fn signal_task(
    cx: &Cx<'_>,
    group: Option<Pid>,
    tid: Pid,
    signal: u64,
    info: impl FnOnce(Signal) -> SigInfo,
) -> SysResult {
    if tid.0 == 0 || group == Some(Pid(0)) {
        return Err(Errno::EINVAL);
    }
    let task = cx.kernel().task(tid).ok_or(Errno::ESRCH)?;
    if group.is_some_and(|group| group != task.process.pid) {
        return Err(Errno::ESRCH);
    }
    let number = signal & 0xffff_ffff;
    let checked = if number == 0 { Signal::SIGTERM } else { signal_arg(number)? };
    if !cx.task.may_signal(&task.process, checked) {
        return Err(Errno::EPERM);
    }
    if number != 0 {
        task.send(info(checked), Sender::Inside)?;
    }
    Ok(0)
}

/// `int tkill(pid_t tid, int sig)`
fn tkill(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let tid = args.pid(0)?;
    signal_task(cx, None, tid, args.get(1), |signal| user_info(cx, signal, code::SI_TKILL))
}

/// `int tgkill(pid_t tgid, pid_t tid, int sig)`
fn tgkill(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let (group, tid) = (args.pid(0)?, args.pid(1)?);
    signal_task(cx, Some(group), tid, args.get(2), |signal| user_info(cx, signal, code::SI_TKILL))
}

/// Copies a `siginfo_t` that a task sends: to others it may not pretend to come from the kernel
/// or from kill(2).
fn read_info(cx: &Cx<'_>, addr: UserAddr, signal: u64, to: Pid) -> Result<SigInfo, Errno> {
    let mut bytes = [0; SigInfo::BYTES];
    cx.mm.read(addr, &mut bytes)?;
    let signal = Signal::new(signal & 0xffff_ffff).unwrap_or(Signal::SIGTERM);
    let info = SigInfo::from_bytes(signal, &bytes);
    let forged = info.code >= 0 || info.code == code::SI_TKILL;
    if forged && to != cx.process().pid {
        return Err(Errno::EPERM);
    }
    debug_assert!(matches!(info.fields, SigFields::Raw(_)));
    Ok(info)
}

/// `int rt_sigqueueinfo(pid_t tgid, int sig, siginfo_t *info)`
fn rt_sigqueueinfo(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let pid = args.pid(0)?;
    let info = read_info(cx, args.addr(2), args.get(1), pid)?;
    let process = {
        let tree = cx.kernel().tree.lock();
        tree.process(pid).map(|node| node.process.clone()).ok_or(Errno::ESRCH)?
    };
    if args.u32(1) != 0 {
        signal_arg(args.get(1))?;
    }
    if !cx.task.may_signal(&process, info.signal) {
        return Err(Errno::EPERM);
    }
    if args.u32(1) != 0 {
        process.send(info, Sender::Inside)?;
    }
    Ok(0)
}

/// `int rt_tgsigqueueinfo(pid_t tgid, pid_t tid, int sig, siginfo_t *info)`
fn rt_tgsigqueueinfo(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let (group, tid) = (args.pid(0)?, args.pid(1)?);
    let info = read_info(cx, args.addr(3), args.get(2), group)?;
    signal_task(cx, Some(group), tid, args.get(2), |_| info)
}

/// `int sigaltstack(const stack_t *ss, stack_t *old_ss)`
fn sigaltstack(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const ONSTACK: u32 = 1;
    const MIN_BYTES: u64 = 2048;
    let old = *cx.task.alt_stack.lock();
    let on_it = old.contains(cx.user.regs.rsp) && old.flags & AltStack::AUTODISARM == 0;
    if !args.addr(0).is_null() {
        let word = |at: u64| cx.mm.read_value::<u64>(args.addr(0).wrapping_add(at));
        let (base, flags, size) = (word(0)?, word(8)?, word(16)?);
        let flags = (flags & 0xffff_ffff) as u32;
        if on_it {
            return Err(Errno::EPERM);
        }
        let mode = flags & !AltStack::AUTODISARM;
        let new = match mode {
            AltStack::DISABLE => AltStack::default(),
            0 | ONSTACK if size < MIN_BYTES => return Err(Errno::ENOMEM),
            0 | ONSTACK => AltStack { base, size, flags: flags & AltStack::AUTODISARM },
            _ => return Err(Errno::EINVAL),
        };
        *cx.task.alt_stack.lock() = new;
    }
    if !args.addr(1).is_null() {
        let flags = old.flags | if on_it { ONSTACK } else { 0 };
        let mut bytes = [0; 24];
        for (at, word) in [old.base, u64::from(flags), old.size].iter().enumerate() {
            for (to, from) in bytes.iter_mut().skip(at * 8).zip(word.to_le_bytes()) {
                *to = from;
            }
        }
        cx.mm.write(args.addr(1), &bytes)?;
    }
    Ok(0)
}
