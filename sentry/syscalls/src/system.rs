//! The system: names, limits, what it uses, random bytes; sharing and segment bases of a task.

use std::sync::atomic::Ordering;

use abi::Errno;
use auth::{Capability, Credentials};
use kernel::{Cx, Limit, Limits, Pid, Resource, SysResult, Uts};

use crate::{
    Args, process,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    63, "uname",                  "x",     uname),
    full(    97, "getrlimit",              "dx",    getrlimit),
    partial( 98, "getrusage",              "dx",    getrusage, "times and resident size only"),
    partial( 99, "sysinfo",                "x",     sysinfo, "no load, no swap"),
    partial(135, "personality",            "x",     personality, "Linux without flags only"),
    partial(158, "arch_prctl",             "xx",    arch_prctl, "no CPUID faulting"),
    full(   160, "setrlimit",              "dx",    setrlimit),
    full(   170, "sethostname",            "xu",    sethostname),
    full(   171, "setdomainname",          "xu",    setdomainname),
    partial(272, "unshare",                "x",     unshare, "CLONE_FILES, CLONE_FS, CLONE_SYSVSEM only"),
    full(   302, "prlimit64",              "ddxx",  prlimit64),
    full(   318, "getrandom",              "xux",   getrandom),
];

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

/// `int personality(unsigned long persona)`: programs stay where the loader puts them, so
/// `ADDR_NO_RANDOMIZE` is refused rather than forgotten.
fn personality(_: &mut Cx<'_>, args: Args) -> SysResult {
    const QUERY: u32 = 0xffff_ffff;
    match args.u32(0) {
        QUERY | 0 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
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
