//! Scheduling: nice values, policies, affinity.

use std::sync::{Arc, atomic::Ordering};

use abi::Errno;
use auth::Capability;
use kernel::{Cx, Node, Pid, Process, Resource, SysResult, Task};

use crate::{
    Args,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    24, "sched_yield",            "",      sched_yield),
    partial(140, "getpriority",            "dd",    getpriority, "kept, no effect"),
    partial(141, "setpriority",            "ddd",   setpriority, "kept, no effect"),
    partial(142, "sched_setparam",         "dx",    sched_setparam, "SCHED_OTHER only"),
    full(   143, "sched_getparam",         "dx",    sched_getparam),
    partial(144, "sched_setscheduler",     "ddx",   sched_setscheduler, "SCHED_OTHER, BATCH and IDLE alike"),
    full(   145, "sched_getscheduler",     "d",     sched_getscheduler),
    full(   146, "sched_get_priority_max", "d",     sched_get_priority_max),
    full(   147, "sched_get_priority_min", "d",     sched_get_priority_min),
    partial(203, "sched_setaffinity",      "dux",   sched_setaffinity, "kept, no effect"),
    full(   204, "sched_getaffinity",      "dux",   sched_getaffinity),
    partial(251, "ioprio_set",             "ddd",   ioprio_set, "no effect"),
    full(   252, "ioprio_get",             "dd",    ioprio_get),
    full(   309, "getcpu",                 "xxx",   getcpu),
];

/// `int sched_yield(void)`
fn sched_yield(cx: &mut Cx<'_>, _: Args) -> SysResult {
    cx.fiber.yield_now();
    Ok(0)
}

/// The processes that `which` and `who` of getpriority(2) mean.
fn prioritised(cx: &Cx<'_>, args: Args) -> Result<Vec<Arc<Process>>, Errno> {
    const PROCESS: u32 = 0;
    const GROUP: u32 = 1;
    const USER: u32 = 2;
    let who = args.u32(1);
    if args.u32(0) > USER {
        return Err(Errno::EINVAL);
    }
    if args.u32(0) == PROCESS && who != 0 {
        let task = cx.kernel().task(Pid(who)).ok_or(Errno::ESRCH)?;
        return Ok(vec![task.process.clone()]);
    }
    let uid = if who == 0 { cx.creds().ruid } else { who };
    let tree = cx.kernel().tree.lock();
    let own = tree.process(cx.process().pid).ok_or(Errno::ESRCH)?;
    let group = if who == 0 { own.group } else { Pid(who) };
    let wanted = |node: &&Node| match args.u32(0) {
        PROCESS => node.process.pid == cx.process().pid,
        GROUP => node.group == group,
        _ => node.process.any_task().is_some_and(|task| task.creds().ruid == uid),
    };
    let found = tree.processes.values().filter(|node| node.zombie.is_none()).filter(wanted);
    let found: Vec<_> = found.map(|node| node.process.clone()).collect();
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

/// `int getpriority(int which, id_t who)`: the kernel returns 20 - nice, of the highest priority.
fn getpriority(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let processes = prioritised(cx, args)?;
    let nice = processes.iter().map(|process| process.nice.load(Ordering::Relaxed)).min();
    Ok(i64::from(20 - nice.unwrap_or(0)).cast_unsigned())
}

/// `int setpriority(int which, id_t who, int prio)`
fn setpriority(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let nice = args.i32(2).clamp(-20, 19);
    for process in prioritised(cx, args)? {
        let lower = nice < process.nice.load(Ordering::Relaxed);
        let floor = process.limits.lock().soft(Resource::Nice);
        let allowed = i64::from(nice) >= 20 - i64::try_from(floor).unwrap_or(40);
        if lower && !allowed && !cx.creds().has(Capability::SysNice) {
            return Err(Errno::EACCES);
        }
        process.nice.store(nice, Ordering::Relaxed);
    }
    Ok(0)
}

fn check_task(cx: &Cx<'_>, args: Args) -> Result<(), Errno> {
    match args.pid(0)? {
        Pid(0) => Ok(()),
        pid => cx.kernel().task(pid).map(|_| ()).ok_or(Errno::ESRCH),
    }
}

/// `int sched_getparam(pid_t pid, struct sched_param *param)`
fn sched_getparam(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_task(cx, args)?;
    cx.mm.write(args.addr(1), &0_u32.to_le_bytes())?;
    Ok(0)
}

/// `int sched_setparam(pid_t pid, const struct sched_param *param)`
fn sched_setparam(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_task(cx, args)?;
    let priority: i32 = cx.mm.read_value(args.addr(1))?;
    if priority == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

/// `int sched_getscheduler(pid_t pid)`
fn sched_getscheduler(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_task(cx, args).map(|()| 0)
}

/// `int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)`
fn sched_setscheduler(cx: &mut Cx<'_>, args: Args) -> SysResult {
    check_task(cx, args)?;
    let priority: i32 = cx.mm.read_value(args.addr(2))?;
    match args.i32(1) & !0x4000_0000 {
        0 | 3 | 5 if priority == 0 => Ok(0),
        1 | 2 if (1..=99).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// `int sched_get_priority_max(int policy)`
fn sched_get_priority_max(_: &mut Cx<'_>, args: Args) -> SysResult {
    match args.i32(0) {
        1 | 2 => Ok(99),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// `int sched_get_priority_min(int policy)`
fn sched_get_priority_min(_: &mut Cx<'_>, args: Args) -> SysResult {
    match args.i32(0) {
        1 | 2 => Ok(1),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// Bytes of a CPU mask that has all executors: whole words.
fn mask_bytes(cx: &Cx<'_>) -> usize {
    cx.kernel().sched.executors().div_ceil(64) * 8
}

/// The task that argument 0 names, or the caller.
fn named_task(cx: &Cx<'_>, args: Args) -> Result<Arc<Task>, Errno> {
    match args.pid(0)? {
        Pid(0) => Ok(cx.task.clone()),
        pid => cx.kernel().task(pid).ok_or(Errno::ESRCH),
    }
}

/// A mask of all CPUs.
fn all_cpus(cx: &Cx<'_>) -> Vec<u8> {
    let mut mask = vec![0_u8; mask_bytes(cx)];
    for cpu in 0..cx.kernel().sched.executors() {
        if let Some(byte) = mask.get_mut(cpu / 8) {
            *byte |= 1 << (cpu % 8);
        }
    }
    mask
}

/// `int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask)`
fn sched_getaffinity(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let task = named_task(cx, args)?;
    if args.size(1) < mask_bytes(cx) || !args.size(1).is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let chosen = task.affinity.lock().clone();
    let mask = if chosen.is_empty() { all_cpus(cx) } else { chosen };
    cx.mm.write(args.addr(2), &mask)?;
    Ok(mask.len() as u64)
}

/// `int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *mask)`
fn sched_setaffinity(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let task = named_task(cx, args)?;
    let mut mask = vec![0; args.size(1).min(mask_bytes(cx))];
    cx.mm.read(args.addr(2), &mut mask)?;
    mask.resize(mask_bytes(cx), 0);
    for (chosen, all) in mask.iter_mut().zip(all_cpus(cx)) {
        *chosen &= all;
    }
    if mask.iter().all(|byte| *byte == 0) {
        return Err(Errno::EINVAL);
    }
    *task.affinity.lock() = mask;
    Ok(0)
}

/// `int ioprio_set(int which, int who, int ioprio)`
fn ioprio_set(_: &mut Cx<'_>, args: Args) -> SysResult {
    let class = args.u32(2) >> 13;
    if !(1..=3).contains(&args.u32(0)) || class > 3 { Err(Errno::EINVAL) } else { Ok(0) }
}

/// `int ioprio_get(int which, int who)`
fn ioprio_get(_: &mut Cx<'_>, args: Args) -> SysResult {
    const BEST_EFFORT_4: u64 = 2 << 13 | 4;
    if (1..=3).contains(&args.u32(0)) { Ok(BEST_EFFORT_4) } else { Err(Errno::EINVAL) }
}

/// `int getcpu(unsigned *cpu, unsigned *node, void *unused)`
fn getcpu(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let cpu = u32::try_from(cx.fiber.executor()).unwrap_or(0);
    for (addr, value) in [(args.addr(0), cpu), (args.addr(1), 0)] {
        if !addr.is_null() {
            cx.mm.write(addr, &value.to_le_bytes())?;
        }
    }
    Ok(0)
}
