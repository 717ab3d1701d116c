//! Processes and threads: clone, exec, exit, wait, numbers, groups, sessions.

use abi::{Errno, Signal, UserAddr, fs::mode};
use kernel::{
    Cx, ExitStatus, Pid, SysResult,
    task::{CloneArgs, ExecArgs, WaitEvent, WaitOptions, WaitTarget, Waited, clone_flags},
};
use vfs::{LookupFlags, OpenHow};

use crate::{
    Args, path,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    full(    39, "getpid",          "",       getpid),
    partial( 56, "clone",           "xxxxx",  clone, "no namespaces, no CLONE_PIDFD, no tracing"),
    full(    57, "fork",            "",       fork),
    full(    58, "vfork",           "",       vfork),
    full(    59, "execve",          "sxx",    execve),
    full(    60, "exit",            "d",      exit),
    full(    61, "wait4",           "dxxx",   wait4),
    full(   109, "setpgid",         "dd",     setpgid),
    full(   110, "getppid",         "",       getppid),
    full(   111, "getpgrp",         "",       getpgrp),
    full(   112, "setsid",          "",       setsid),
    full(   121, "getpgid",         "d",      getpgid),
    full(   124, "getsid",          "d",      getsid),
    full(   186, "gettid",          "",       gettid),
    full(   218, "set_tid_address", "x",      set_tid_address),
    full(   231, "exit_group",      "d",      exit_group),
    full(   247, "waitid",          "ddxxx",  waitid),
    full(   322, "execveat",        "fsxxx",  execveat),
    partial(435, "clone3",          "xu",     clone3, "no namespaces, no pidfd, no set_tid, no cgroup"),
];

/// `pid_t getpid(void)`
fn getpid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(cx.process().pid.value())
}

/// `pid_t gettid(void)`
fn gettid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    Ok(cx.task.tid().value())
}

/// `pid_t getppid(void)`
fn getppid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    let tree = cx.kernel().tree.lock();
    let parent = tree.process(cx.process().pid).and_then(|node| node.parent);
    Ok(parent.unwrap_or(Pid::NONE).value())
}

/// `long clone(unsigned long flags, void *stack, int *ptid, int *ctid, unsigned long tls)`
fn clone(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.get(0);
    let clone = CloneArgs {
        flags: flags & 0xffff_ff00,
        exit_signal: (flags & 0xff) as u8,
        stack: args.addr(1),
        parent_tid: args.addr(2),
        child_tid: args.addr(3),
        tls: args.get(4),
    };
    cx.clone_task(&clone).map(Pid::value)
}

/// `pid_t fork(void)`
fn fork(cx: &mut Cx<'_>, _: Args) -> SysResult {
    let exit_signal = Signal::SIGCHLD.number();
    cx.clone_task(&CloneArgs { exit_signal, ..CloneArgs::default() }).map(Pid::value)
}

/// `pid_t vfork(void)`
fn vfork(cx: &mut Cx<'_>, _: Args) -> SysResult {
    let flags = clone_flags::CLONE_VM | clone_flags::CLONE_VFORK;
    let exit_signal = Signal::SIGCHLD.number();
    cx.clone_task(&CloneArgs { flags, exit_signal, ..CloneArgs::default() }).map(Pid::value)
}

/// `long clone3(struct clone_args *args, size_t size)`
fn clone3(cx: &mut Cx<'_>, args: Args) -> SysResult {
    const FIRST_SIZE: usize = 64;
    const KNOWN_WORDS: usize = 11;
    let size = args.size(1);
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size];
    cx.mm.read(args.addr(0), &mut bytes)?;
    let (words, _) = bytes.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    if words.iter().skip(KNOWN_WORDS).any(|word| *word != 0) {
        return Err(Errno::E2BIG);
    }
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    let [flags, _pidfd, child_tid, parent_tid, exit_signal] = std::array::from_fn(word);
    let (stack, stack_size, tls) = (word(5), word(6), word(7));
    let set_tid_or_cgroup = word(8) != 0 || word(9) != 0 || word(10) != 0;
    if flags & 0xff != 0
        || exit_signal > 64
        || set_tid_or_cgroup
        || (stack == 0) != (stack_size == 0)
    {
        return Err(Errno::EINVAL);
    }
    let clone = CloneArgs {
        flags,
        exit_signal: u8::try_from(exit_signal).map_err(|_| Errno::EINVAL)?,
        stack: UserAddr::new(stack.wrapping_add(stack_size)),
        parent_tid: UserAddr::new(parent_tid),
        child_tid: UserAddr::new(child_tid),
        tls,
    };
    cx.clone_task(&clone).map(Pid::value)
}

/// `int execve(const char *path, char *const argv[], char *const envp[])`
fn execve(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let name = path::read_path(cx, args.addr(0))?;
    execute(cx, path::AT_FDCWD, &name, args.addr(1), args.addr(2), 0)
}

/// `int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)`
fn execveat(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(4, path::AT_EMPTY_PATH | path::AT_SYMLINK_NOFOLLOW)?;
    let name = path::read_path_or_empty(cx, args.addr(1))?;
    execute(cx, args.i32(0), &name, args.addr(2), args.addr(3), flags)
}

fn execute(
    cx: &mut Cx<'_>,
    dir: i32,
    name: &[u8],
    argv: UserAddr,
    envp: UserAddr,
    flags: u32,
) -> SysResult {
    let mut argv = read_strings(cx, argv)?;
    let envp = read_strings(cx, envp)?;
    if argv.is_empty() {
        argv.push(Vec::new());
    }
    let env = cx.env();
    let fs = env.ctx();
    let lookup =
        LookupFlags { no_follow: flags & path::AT_SYMLINK_NOFOLLOW != 0, ..LookupFlags::default() };
    let place = path::resolve(cx, &fs, dir, name, flags, lookup)?;
    let meta = place.inode().metadata(&fs)?;
    if meta.is_symlink() {
        return Err(Errno::ELOOP);
    }
    if meta.mode & mode::S_IFMT != mode::S_IFREG {
        return Err(Errno::EACCES);
    }
    fs.access(&place, 1)?;
    let file = fs.open_found(place, OpenHow::default().flags, true)?;
    let shown = if name.is_empty() || (dir != path::AT_FDCWD && !name.starts_with(b"/")) {
        let mut shown = format!("/dev/fd/{dir}").into_bytes();
        if !name.is_empty() {
            shown.push(b'/');
            shown.extend_from_slice(name);
        }
        shown
    } else {
        name.to_vec()
    };
    cx.execute(ExecArgs { file, path: shown, argv, envp })?;
    Ok(0)
}

/// Most strings of argv or envp (the loader limits the bytes).
const STRINGS_MAX: usize = 1 << 20;
/// Longest string of argv or envp (`MAX_ARG_STRLEN`).
const STRING_MAX_BYTES: usize = 128 << 10;
/// Most bytes of argv or envp (Linux: a quarter of the stack, at most 6 MiB).
const TOTAL_MAX_BYTES: usize = 6 << 20;

fn read_strings(cx: &Cx<'_>, mut at: UserAddr) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    let mut total = 0;
    if at.is_null() {
        return Ok(strings);
    }
    loop {
        let addr = UserAddr::new(cx.mm.read_value::<u64>(at)?);
        if addr.is_null() {
            return Ok(strings);
        }
        let string = cx.mm.read_string(addr, STRING_MAX_BYTES).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            errno => errno,
        })?;
        total += string.len() + 9;
        if total > TOTAL_MAX_BYTES || strings.len() >= STRINGS_MAX {
            return Err(Errno::E2BIG);
        }
        strings.push(string);
        at = at.wrapping_add(8);
    }
}

/// `void exit(int status)`
fn exit(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.exit_thread(ExitStatus::Exited((args.u32(0) & 0xff) as u8));
    Ok(0)
}

/// `void exit_group(int status)`
fn exit_group(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.exit_group(ExitStatus::Exited((args.u32(0) & 0xff) as u8));
    Ok(0)
}

/// `int set_tid_address(int *tidptr)`
fn set_tid_address(cx: &mut Cx<'_>, args: Args) -> SysResult {
    cx.task.clear_child_tid.store(args.get(0), std::sync::atomic::Ordering::Relaxed);
    Ok(cx.task.tid().value())
}

const WNOHANG: u32 = 1;
const WUNTRACED: u32 = 2;
const WEXITED: u32 = 4;
const WCONTINUED: u32 = 8;
const WNOWAIT: u32 = 0x0100_0000;
const WNOTHREAD: u32 = 0x2000_0000;
const WALL: u32 = 0x4000_0000;
const WCLONE: u32 = 0x8000_0000;

/// `pid_t wait4(pid_t pid, int *wstatus, int options, struct rusage *rusage)`
fn wait4(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(2, WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE)?;
    let options = WaitOptions {
        exited: true,
        stopped: flags & WUNTRACED != 0,
        continued: flags & WCONTINUED != 0,
        no_hang: flags & WNOHANG != 0,
        no_wait: false,
        clone: flags & WCLONE != 0,
        all: flags & WALL != 0,
    };
    let target = match args.i32(0) {
        -1 => WaitTarget::Any,
        0 => WaitTarget::Group(own_group(cx)?),
        i32::MIN => return Err(Errno::ESRCH),
        pid if pid < 0 => WaitTarget::Group(Pid(pid.unsigned_abs())),
        pid => WaitTarget::Pid(Pid(pid.unsigned_abs())),
    };
    let Some(waited) = cx.wait_child(target, options)? else { return Ok(0) };
    let (status, usage) = (args.addr(1), args.addr(3));
    if !status.is_null() {
        cx.mm.write(status, &waited.event.to_wait_status().to_le_bytes())?;
    }
    if !usage.is_null() {
        write_usage(cx, usage, waited.times_ns)?;
    }
    Ok(waited.pid.value())
}

/// `int waitid(idtype_t idtype, id_t id, siginfo_t *infop, int options, struct rusage *rusage)`
fn waitid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let known = WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WNOTHREAD | WALL | WCLONE;
    let flags = args.flags(3, known)?;
    if flags & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let options = WaitOptions {
        exited: flags & WEXITED != 0,
        stopped: flags & WUNTRACED != 0,
        continued: flags & WCONTINUED != 0,
        no_hang: flags & WNOHANG != 0,
        no_wait: flags & WNOWAIT != 0,
        clone: flags & WCLONE != 0,
        all: flags & WALL != 0,
    };
    let target = match (args.u32(0), args.i32(1)) {
        (0, _) => WaitTarget::Any,
        (1, id) if id > 0 => WaitTarget::Pid(Pid(id.unsigned_abs())),
        (2, 0) => WaitTarget::Group(own_group(cx)?),
        (2, id) if id > 0 => WaitTarget::Group(Pid(id.unsigned_abs())),
        _ => return Err(Errno::EINVAL),
    };
    let waited = cx.wait_child(target, options)?;
    let info = args.addr(2);
    if !info.is_null() {
        cx.mm.write(info, &waited.map_or([0; 128], |waited| child_info(&waited)))?;
    }
    if let Some(waited) = waited
        && !args.addr(4).is_null()
    {
        write_usage(cx, args.addr(4), waited.times_ns)?;
    }
    Ok(0)
}

fn child_info(waited: &Waited) -> [u8; 128] {
    use abi::signal::code;
    let (code, status) = match waited.event {
        WaitEvent::Ended(ExitStatus::Exited(code)) => (code::CLD_EXITED, i32::from(code)),
        WaitEvent::Ended(ExitStatus::Signaled { signal, core }) => {
            (if core { code::CLD_DUMPED } else { code::CLD_KILLED }, i32::from(signal.number()))
        }
        WaitEvent::Stopped(signal) => (code::CLD_STOPPED, i32::from(signal.number())),
        WaitEvent::Continued => (code::CLD_CONTINUED, i32::from(Signal::SIGCONT.number())),
    };
    let (pid, uid) = (waited.pid.0, waited.uid);
    let fields = abi::SigFields::Child { pid, uid, status, utime: 0, stime: 0 };
    let info = abi::SigInfo { signal: Signal::SIGCHLD, errno: 0, code, fields };
    let mut bytes = info.to_bytes();
    // waitid(2) leaves the times out.
    if let Some(times) = bytes.get_mut(32..48) {
        times.fill(0);
    }
    bytes
}

/// Stores a `struct rusage` with user and system time; other fields are 0, as for what Linux does
/// not count.
pub(crate) fn write_usage(
    cx: &Cx<'_>,
    addr: UserAddr,
    (user_ns, system_ns): (u64, u64),
) -> Result<(), Errno> {
    let mut words = [0_u64; 18];
    for (pair, ns) in words.chunks_exact_mut(2).zip([user_ns, system_ns]) {
        if let [seconds, micros] = pair {
            *seconds = ns / 1_000_000_000;
            *micros = ns % 1_000_000_000 / 1000;
        }
    }
    if let (Some(resident), usage) = (words.get_mut(4), cx.mm.usage()) {
        *resident = usage.peak_resident / 1024;
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    cx.mm.write(addr, &bytes)
}

fn own_group(cx: &Cx<'_>) -> Result<Pid, Errno> {
    let tree = cx.kernel().tree.lock();
    tree.process(cx.process().pid).map(|node| node.group).ok_or(Errno::ESRCH)
}

/// `pid_t getpgrp(void)`
fn getpgrp(cx: &mut Cx<'_>, _: Args) -> SysResult {
    own_group(cx).map(Pid::value)
}

/// `pid_t getpgid(pid_t pid)`
fn getpgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let pid = process_or_self(cx, args)?;
    let tree = cx.kernel().tree.lock();
    tree.process(pid).map(|node| node.group.value()).ok_or(Errno::ESRCH)
}

/// `pid_t getsid(pid_t pid)`
fn getsid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let pid = process_or_self(cx, args)?;
    let tree = cx.kernel().tree.lock();
    tree.process(pid).map(|node| node.session.sid.value()).ok_or(Errno::ESRCH)
}

fn process_or_self(cx: &Cx<'_>, args: Args) -> Result<Pid, Errno> {
    match args.pid(0).map_err(|_| Errno::ESRCH)? {
        Pid(0) => Ok(cx.process().pid),
        pid => Ok(pid),
    }
}

/// `int setpgid(pid_t pid, pid_t pgid)`
fn setpgid(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let own = cx.process().pid;
    let target = match args.pid(0).map_err(|_| Errno::ESRCH)? {
        Pid(0) => own,
        pid => pid,
    };
    let group = match args.pid(1)? {
        Pid(0) => target,
        group => group,
    };
    let mut tree = cx.kernel().tree.lock();
    let node = tree.process(target).ok_or(Errno::ESRCH)?;
    let own_session = tree.process(own).ok_or(Errno::ESRCH)?.session.sid;
    if target != own {
        if node.parent != Some(own) {
            return Err(Errno::ESRCH);
        }
        if node.session.sid != own_session {
            return Err(Errno::EPERM);
        }
        if node.executed {
            return Err(Errno::EACCES);
        }
    }
    if node.session.sid == target {
        return Err(Errno::EPERM);
    }
    if group != target && !tree.group(group).any(|member| member.session.sid == own_session) {
        return Err(Errno::EPERM);
    }
    if let Some(node) = tree.processes.get_mut(&target) {
        node.group = group;
    }
    Ok(0)
}

/// `pid_t setsid(void)`
fn setsid(cx: &mut Cx<'_>, _: Args) -> SysResult {
    let own = cx.process().pid;
    let mut tree = cx.kernel().tree.lock();
    if tree.group(own).next().is_some() {
        return Err(Errno::EPERM);
    }
    let node = tree.processes.get_mut(&own).ok_or(Errno::ESRCH)?;
    node.group = own;
    node.session = kernel::Session::new(own);
    Ok(own.value())
}
