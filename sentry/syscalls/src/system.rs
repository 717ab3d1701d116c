//! The system and the task's own settings: names, limits, scheduling, prctl, random bytes.

use std::sync::{Arc, atomic::Ordering};

use abi::{Errno, Signal, UserAddr};
use auth::{Capability, CapabilitySet, Credentials, SecureBits};
use kernel::{Cx, Limit, Limits, Node, Pid, Process, Resource, SysResult, Task, Uts};

use crate::{
    Args, process,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    24, "sched_yield",            "",      sched_yield),
    full(    63, "uname",                  "x",     uname),
    full(    97, "getrlimit",              "dx",    getrlimit),
    partial( 98, "getrusage",              "dx",    getrusage, "times and resident size only"),
    partial( 99, "sysinfo",                "x",     sysinfo, "no load, no swap"),
    partial(135, "personality",            "x",     personality, "Linux only"),
    partial(140, "getpriority",            "dd",    getpriority, "kept, no effect"),
    partial(141, "setpriority",            "ddd",   setpriority, "kept, no effect"),
    partial(142, "sched_setparam",         "dx",    sched_setparam, "SCHED_OTHER only"),
    full(   143, "sched_getparam",         "dx",    sched_getparam),
    partial(144, "sched_setscheduler",     "ddx",   sched_setscheduler, "SCHED_OTHER, BATCH and IDLE alike"),
    full(   145, "sched_getscheduler",     "d",     sched_getscheduler),
    full(   146, "sched_get_priority_max", "d",     sched_get_priority_max),
    full(   147, "sched_get_priority_min", "d",     sched_get_priority_min),
    partial(157, "prctl",                  "dxxxx", prctl, "the common options"),
    partial(158, "arch_prctl",             "xx",    arch_prctl, "no CPUID faulting"),
    full(   160, "setrlimit",              "dx",    setrlimit),
    full(   170, "sethostname",            "xu",    sethostname),
    full(   171, "setdomainname",          "xu",    setdomainname),
    partial(203, "sched_setaffinity",      "dux",   sched_setaffinity, "kept, no effect"),
    full(   204, "sched_getaffinity",      "dux",   sched_getaffinity),
    partial(251, "ioprio_set",             "ddd",   ioprio_set, "no effect"),
    full(   252, "ioprio_get",             "dd",    ioprio_get),
    partial(272, "unshare",                "x",     unshare, "CLONE_FILES, CLONE_FS, CLONE_SYSVSEM only"),
    full(   302, "prlimit64",              "ddxx",  prlimit64),
    full(   309, "getcpu",                 "xxx",   getcpu),
    full(   318, "getrandom",              "xux",   getrandom),
];

/// `int sched_yield(void)`
fn sched_yield(cx: &mut Cx<'_>, _: Args) -> SysResult {
    cx.fiber.yield_now();
    Ok(0)
}

/// `int uname(struct utsname *buf)`
fn uname(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const FIELD_BYTES: usize = 65;
    let uts = cx.kernel().uts.lock().clone();
    let fields: [&[u8]; 6] = [
        Uts::SYSNAME.as_bytes(),
        &uts.hostname,
        Uts::RELEASE.as_bytes(),
        Uts::VERSION.as_bytes(),
        Uts::MACHINE.as_bytes(),
        &uts.domainname,
    ];
    let mut bytes = Vec::with_capacity(6 * FIELD_BYTES);
    for (index, field) in fields.iter().enumerate() {
        bytes.extend_from_slice(field.get(..field.len().min(FIELD_BYTES - 1)).unwrap_or_default());
        bytes.resize((index + 1) * FIELD_BYTES, 0);
    }
    cx.mm.write(args.addr(0), &bytes)?;
    Ok(0)
}

fn read_name(cx: &Cx<'_>, args: Args) -> Result<Vec<u8>, Errno> {
    if !cx.creds().has(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(args.i32(1)).map_err(|_| Errno::EINVAL)?;
    if len > Uts::NAME_MAX_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut name = vec![0; len];
    cx.mm.read(args.addr(0), &mut name)?;
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(len));
    Ok(name)
}

/// `int sethostname(const char *name, size_t len)`
fn sethostname(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let name = read_name(cx, args)?;
    cx.kernel().uts.lock().hostname = name;
    Ok(0)
}

/// `int setdomainname(const char *name, size_t len)`
fn setdomainname(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let name = read_name(cx, args)?;
    cx.kernel().uts.lock().domainname = name;
    Ok(0)
}

/// `int getrlimit(int resource, struct rlimit *rlim)`
fn getrlimit(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let number = u64::from(args.u32(0));
    let limit = cx.process().limits.lock().by_number(number).ok_or(Errno::EINVAL)?;
    cx.mm.write_value(args.addr(1), &limit)?;
    Ok(0)
}

/// Sets a limit of `limits` as prlimit(2) allows it to `creds`.
fn change_limit(
    limits: &mut Limits,
    number: u64,
    new: Limit,
    creds: &Credentials,
) -> Result<(), Errno> {
    let old = limits.by_number(number).ok_or(Errno::EINVAL)?;
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if new.hard > old.hard && !creds.has(Capability::SysResource) {
        return Err(Errno::EPERM);
    }
    if number == Resource::Nofile as u64 && new.hard > 1 << 20 {
        return Err(Errno::EPERM);
    }
    limits.set_by_number(number, new);
    Ok(())
}

/// `int setrlimit(int resource, const struct rlimit *rlim)`
fn setrlimit(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let new: Limit = cx.mm.read_value(args.addr(1))?;
    let creds = cx.creds();
    change_limit(&mut cx.process().limits.lock(), u64::from(args.u32(0)), new, &creds)?;
    let process = cx.process();
    process.timers.limit_cpu(cx.kernel(), process);
    apply_limits(cx);
    Ok(0)
}

/// Limits that the memory manager enforces.
fn apply_limits(cx: &Cx<'_>) {
    let limits = *cx.process().limits.lock();
    let may_lock = cx.creds().has(Capability::IpcLock);
    cx.mm.set_limits(mm::Limits {
        address_space: limits.soft(Resource::As),
        data: limits.soft(Resource::Data),
        stack: limits.soft(Resource::Stack),
        locked: if may_lock { u64::MAX } else { limits.soft(Resource::Memlock) },
    });
}

/// `int prlimit64(pid_t pid, int resource, const struct rlimit64 *new, struct rlimit64 *old)`
fn prlimit64(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let number = u64::from(args.u32(1));
    let new: Option<Limit> =
        if args.addr(2).is_null() { None } else { Some(cx.mm.read_value(args.addr(2))?) };
    let process = match args.pid(0).map_err(|_| Errno::ESRCH)? {
        Pid(0) => cx.process().clone(),
        pid => cx.kernel().task(pid).ok_or(Errno::ESRCH)?.process.clone(),
    };
    let creds = cx.creds();
    if process.pid != cx.process().pid {
        let target = process.any_task().ok_or(Errno::ESRCH)?.creds();
        let same = creds.ruid == target.ruid && creds.ruid == target.euid;
        if !same && !creds.has(Capability::SysResource) {
            return Err(Errno::EPERM);
        }
    }
    let old = process.limits.lock().by_number(number).ok_or(Errno::EINVAL)?;
    if let Some(new) = new {
        change_limit(&mut process.limits.lock(), number, new, &creds)?;
        process.timers.limit_cpu(cx.kernel(), &process);
        if process.pid == cx.process().pid {
            apply_limits(cx);
        }
    }
    if !args.addr(3).is_null() {
        cx.mm.write_value(args.addr(3), &old)?;
    }
    Ok(0)
}

/// `int getrusage(int who, struct rusage *usage)`
fn getrusage(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let times = &cx.process().times;
    let times_ns = match args.i32(0) {
        0 => cx.process().cpu_times(),
        1 => cx.task.cpu_times(),
        -1 => (
            times.children_user_ns.load(Ordering::Relaxed),
            times.children_system_ns.load(Ordering::Relaxed),
        ),
        _ => return Err(Errno::EINVAL),
    };
    process::write_usage(cx, args.addr(1), times_ns)?;
    Ok(0)
}

/// `int sysinfo(struct sysinfo *info)`
fn sysinfo(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let kernel = cx.kernel();
    let uptime = cx.now_ns().saturating_sub(kernel.boot_ns) / 1_000_000_000;
    let (total, used) = (kernel.memory.limit_bytes(), kernel.memory.used_bytes());
    let tasks = kernel.tree.lock().tasks.len() as u64;
    let free = total.saturating_sub(used);
    let words = [uptime, 0, 0, 0, total, free, 0, 0, 0, 0, tasks & 0xffff, 0, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // mem_unit, at byte 104, is an int.
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.resize(112, 0);
    cx.mm.write(args.addr(0), &bytes)?;
    Ok(0)
}

/// `int personality(unsigned long persona)`
fn personality(_: &mut Cx<'_>, args: Args) -> SysResult {
    const QUERY: u32 = 0xffff_ffff;
    const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
    match args.u32(0) {
        QUERY | 0 | ADDR_NO_RANDOMIZE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
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

/// `int unshare(int flags)`
fn unshare(cx: &mut Cx<'_>, args: Args) -> SysResult {
    use kernel::task::clone_flags::{CLONE_FILES, CLONE_FS, CLONE_SYSVSEM};
    let flags = u64::from(args.u32(0));
    if flags & !(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLONE_FILES != 0 {
        cx.unshare_files();
    }
    if flags & CLONE_FS != 0 {
        cx.unshare_fs();
    }
    Ok(0)
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

/// `ssize_t getrandom(void *buf, size_t len, unsigned flags)`
fn getrandom(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const CHUNK_BYTES: usize = 4096;
    const KNOWN: u32 = 7;
    let flags = args.flags(2, KNOWN)?;
    if flags & 6 == 6 {
        return Err(Errno::EINVAL);
    }
    let len = args.size(1).min(0x01ff_ffff);
    let mut done = 0;
    let mut buffer = [0; CHUNK_BYTES];
    while done < len {
        let chunk = buffer.get_mut(..CHUNK_BYTES.min(len - done)).unwrap_or_default();
        host::random(chunk);
        let copied = cx.mm.write_partial(args.addr(0).wrapping_add(done as u64), chunk);
        done += copied;
        if copied < chunk.len() {
            break;
        }
    }
    if done == 0 && len > 0 { Err(Errno::EFAULT) } else { Ok(done as u64) }
}

/// `int arch_prctl(int code, unsigned long addr)`
fn arch_prctl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const SET_GS: u32 = 0x1001;
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    let code = args.u32(0);
    if matches!(code, SET_FS | SET_GS) && args.get(1) >= abi::USER_MAX.get() {
        return Err(Errno::EPERM);
    }
    match code {
        SET_FS => cx.user.regs.fs_base = args.get(1),
        SET_GS => cx.user.regs.gs_base = args.get(1),
        GET_FS => cx.mm.write(args.addr(1), &cx.user.regs.fs_base.to_le_bytes())?,
        GET_GS => cx.mm.write(args.addr(1), &cx.user.regs.gs_base.to_le_bytes())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

const PR_SET_PDEATHSIG: u32 = 1;
const PR_GET_PDEATHSIG: u32 = 2;
const PR_GET_DUMPABLE: u32 = 3;
const PR_SET_DUMPABLE: u32 = 4;
const PR_GET_KEEPCAPS: u32 = 7;
const PR_SET_KEEPCAPS: u32 = 8;
const PR_SET_NAME: u32 = 15;
const PR_GET_NAME: u32 = 16;
const PR_GET_SECCOMP: u32 = 21;
const PR_CAPBSET_READ: u32 = 23;
const PR_CAPBSET_DROP: u32 = 24;
const PR_GET_SECUREBITS: u32 = 27;
const PR_SET_SECUREBITS: u32 = 28;
const PR_SET_TIMERSLACK: u32 = 29;
const PR_GET_TIMERSLACK: u32 = 30;
const PR_SET_CHILD_SUBREAPER: u32 = 36;
const PR_GET_CHILD_SUBREAPER: u32 = 37;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_GET_NO_NEW_PRIVS: u32 = 39;
const PR_GET_THP_DISABLE: u32 = 42;
const PR_CAP_AMBIENT: u32 = 47;

/// `int prctl(int option, unsigned long arg2, ...)`
fn prctl(cx: &mut Cx<'_>, args: Args) -> SysResult {
    match args.u32(0) {
        PR_SET_PDEATHSIG => {
            let signal = args.u32(1);
            if signal != 0 && Signal::new(args.get(1)).is_none() {
                return Err(Errno::EINVAL);
            }
            cx.task.parent_death_signal.store(signal, Ordering::Relaxed);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let signal = cx.task.parent_death_signal.load(Ordering::Relaxed);
            cx.mm.write(args.addr(1), &signal.to_le_bytes()).map(|()| 0)
        }
        PR_GET_DUMPABLE => Ok(u64::from(cx.process().dumpable.load(Ordering::Relaxed))),
        PR_SET_DUMPABLE => {
            let value = args.u32(1);
            if args.get(1) > 1 {
                return Err(Errno::EINVAL);
            }
            cx.process().dumpable.store(value, Ordering::Relaxed);
            Ok(0)
        }
        PR_SET_NAME => set_name(cx, args.addr(1)),
        PR_GET_NAME => {
            let name = *cx.task.name.lock();
            cx.mm.write(args.addr(1), &name).map(|()| 0)
        }
        PR_GET_SECCOMP => Ok(0),
        PR_SET_TIMERSLACK => Ok(0),
        PR_GET_TIMERSLACK => Ok(50_000),
        PR_SET_CHILD_SUBREAPER => {
            let own = cx.process().pid;
            if let Some(node) = cx.kernel().tree.lock().processes.get_mut(&own) {
                node.subreaper = args.get(1) != 0;
            }
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            let own = cx.process().pid;
            let on = cx.kernel().tree.lock().process(own).is_some_and(|node| node.subreaper);
            cx.mm.write(args.addr(1), &u32::from(on).to_le_bytes()).map(|()| 0)
        }
        PR_GET_THP_DISABLE => Ok(0),
        _ => prctl_creds(cx, args),
    }
}

fn set_name(cx: &Cx<'_>, addr: UserAddr) -> SysResult {
    let text = match cx.mm.read_string(addr, 16) {
        Ok(text) => text,
        Err(Errno::ENAMETOOLONG) => {
            let mut text = vec![0; 15];
            cx.mm.read(addr, &mut text)?;
            text
        }
        Err(errno) => return Err(errno),
    };
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(text) {
        *to = from;
    }
    *cx.task.name.lock() = name;
    Ok(0)
}

/// Options that concern credentials.
fn prctl_creds(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let mut new = (*cx.creds()).clone();
    match args.u32(0) {
        PR_GET_KEEPCAPS => return Ok(u64::from(new.secure_bits.has(SecureBits::KEEP_CAPS))),
        PR_SET_KEEPCAPS => match args.get(1) {
            0 => new.secure_bits.0 &= !SecureBits::KEEP_CAPS,
            1 => new.secure_bits.0 |= SecureBits::KEEP_CAPS,
            _ => return Err(Errno::EINVAL),
        },
        PR_GET_SECUREBITS => return Ok(u64::from(new.secure_bits.0)),
        PR_SET_SECUREBITS => {
            if !new.has(Capability::Setpcap) {
                return Err(Errno::EPERM);
            }
            new.secure_bits = SecureBits(args.u32(1));
        }
        PR_CAPBSET_READ => return Ok(u64::from(new.bounding.covers(one_capability(args)?))),
        PR_CAPBSET_DROP => {
            let capability = one_capability(args)?;
            if !new.has(Capability::Setpcap) {
                return Err(Errno::EPERM);
            }
            new.bounding = new.bounding.without(capability);
        }
        PR_GET_NO_NEW_PRIVS => return Ok(u64::from(new.no_new_privs)),
        PR_SET_NO_NEW_PRIVS => {
            if args.get(1) != 1 || args.get(2) != 0 {
                return Err(Errno::EINVAL);
            }
            new.no_new_privs = true;
        }
        PR_CAP_AMBIENT => return ambient(cx, args, new),
        _ => return Err(Errno::EINVAL),
    }
    cx.set_creds(new);
    Ok(0)
}

fn one_capability(args: Args) -> Result<CapabilitySet, Errno> {
    capability_at(args, 1)
}

fn capability_at(args: Args, index: usize) -> Result<CapabilitySet, Errno> {
    match args.get(index) {
        number @ 0..=40 => Ok(CapabilitySet::from_bits(1 << number)),
        _ => Err(Errno::EINVAL),
    }
}

fn ambient(cx: &mut Cx<'_>, args: Args, mut new: Credentials) -> SysResult {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if args.get(1) == CLEAR_ALL {
        new.ambient = CapabilitySet::EMPTY;
        cx.set_creds(new);
        return Ok(0);
    }
    let capability = capability_at(args, 2)?;
    match args.get(1) {
        IS_SET => return Ok(u64::from(new.ambient.covers(capability))),
        RAISE => {
            let may = new.permitted.covers(capability)
                && new.inheritable.covers(capability)
                && !new.secure_bits.has(SecureBits::NO_CAP_AMBIENT_RAISE);
            if !may {
                return Err(Errno::EPERM);
            }
            new.ambient = new.ambient.union(capability);
        }
        LOWER => new.ambient = new.ambient.without(capability),
        _ => return Err(Errno::EINVAL),
    }
    cx.set_creds(new);
    Ok(0)
}
