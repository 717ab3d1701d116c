//! The filter of a sandbox process: the union of what its rooms list, each call with its reason there.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A room's list: name and reason of each call.
pub(crate) type Calls = &'static [(&'static str, &'static str)];

/// Binds all threads of this process to what `rooms` list, for good. Any other call ends the process.
pub(crate) fn install(rooms: &[Calls]) -> Result<()> {
    seccompiler::apply_filter_all_threads(&program(rooms)?).context("install the filter")
}

fn program(rooms: &[Calls]) -> Result<BpfProgram> {
    let mut rules = BTreeMap::new();
    for (name, _) in rooms.iter().copied().flatten() {
        let number =
            number(name).with_context(|| format!("unknown call {name} in a filter list"))?;
        rules.insert(number, conditions(name)?);
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let (otherwise, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    Ok(SeccompFilter::new(rules, otherwise, listed, architecture)?.try_into()?)
}

const PROT_EXEC: u64 = 4;
/// Requests of terminals and FIONREAD, FIONBIO are all in here (`ioctl_tty(2)`).
const TERMINAL_REQUESTS: u64 = 0x5400;
const TERMINAL_MASK: u64 = 0xff00;
const TIOCSTI: u64 = 0x5412;
const TIOCSCTTY: u64 = 0x540e;
const TIOCLINUX: u64 = 0x541c;
const AF_UNIX: u64 = 1;

/// What a call's arguments must be; nothing means any.
fn conditions(name: &str) -> Result<Vec<SeccompRule>> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let all = match name {
        // The Sentry never makes code.
        "mmap" | "mprotect" => vec![(2, MaskedEq(PROT_EXEC), 0)],
        // Of terminals, without those that put words into another's mouth.
        "ioctl" => vec![
            (1, MaskedEq(TERMINAL_MASK), TERMINAL_REQUESTS),
            (1, Ne, TIOCSTI),
            (1, Ne, TIOCSCTTY),
            (1, Ne, TIOCLINUX),
        ],
        "socketpair" => vec![(0, Eq, AF_UNIX)],
        _ => return Ok(Vec::new()),
    };
    let condition = |(index, operator, value)| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
    };
    let all = all.into_iter().map(condition).collect::<Result<_, _>>()?;
    Ok(vec![SeccompRule::new(all)?])
}

/// Names to numbers, for calls that a sandbox process may list at all.
macro_rules! numbers {
    ($($name:ident $number:ident)*) => {
        fn number(name: &str) -> Option<i64> {
            match name {
                $(stringify!($name) => Some(libc::$number),)*
                _ => None,
            }
        }
    };
}

numbers! {
    accept4 SYS_accept4
    brk SYS_brk
    clock_gettime SYS_clock_gettime
    clock_nanosleep SYS_clock_nanosleep
    close SYS_close
    dup SYS_dup
    epoll_ctl SYS_epoll_ctl
    epoll_pwait SYS_epoll_pwait
    epoll_pwait2 SYS_epoll_pwait2
    epoll_wait SYS_epoll_wait
    eventfd2 SYS_eventfd2
    exit SYS_exit
    exit_group SYS_exit_group
    fallocate SYS_fallocate
    fcntl SYS_fcntl
    fdatasync SYS_fdatasync
    fstat SYS_fstat
    fstatfs SYS_fstatfs
    fsync SYS_fsync
    ftruncate SYS_ftruncate
    futex SYS_futex
    getcpu SYS_getcpu
    getpid SYS_getpid
    getrandom SYS_getrandom
    getsockopt SYS_getsockopt
    gettid SYS_gettid
    ioctl SYS_ioctl
    kill SYS_kill
    lseek SYS_lseek
    madvise SYS_madvise
    membarrier SYS_membarrier
    memfd_create SYS_memfd_create
    mmap SYS_mmap
    mprotect SYS_mprotect
    mremap SYS_mremap
    msync SYS_msync
    munmap SYS_munmap
    nanosleep SYS_nanosleep
    newfstatat SYS_newfstatat
    poll SYS_poll
    ppoll SYS_ppoll
    pread64 SYS_pread64
    preadv SYS_preadv
    preadv2 SYS_preadv2
    prctl SYS_prctl
    process_vm_readv SYS_process_vm_readv
    process_vm_writev SYS_process_vm_writev
    ptrace SYS_ptrace
    pwrite64 SYS_pwrite64
    pwritev SYS_pwritev
    pwritev2 SYS_pwritev2
    read SYS_read
    readv SYS_readv
    recvfrom SYS_recvfrom
    recvmsg SYS_recvmsg
    restart_syscall SYS_restart_syscall
    rt_sigaction SYS_rt_sigaction
    rt_sigprocmask SYS_rt_sigprocmask
    rt_sigreturn SYS_rt_sigreturn
    rt_sigtimedwait SYS_rt_sigtimedwait
    sched_getaffinity SYS_sched_getaffinity
    sched_setaffinity SYS_sched_setaffinity
    sched_yield SYS_sched_yield
    sendmsg SYS_sendmsg
    sendto SYS_sendto
    setsockopt SYS_setsockopt
    shutdown SYS_shutdown
    sigaltstack SYS_sigaltstack
    socketpair SYS_socketpair
    statx SYS_statx
    tgkill SYS_tgkill
    timerfd_settime SYS_timerfd_settime
    wait4 SYS_wait4
    waitid SYS_waitid
    write SYS_write
    writev SYS_writev
}

/// How many different calls `rooms` list.
#[cfg(test)]
pub(crate) fn count(rooms: &[Calls]) -> usize {
    let names = rooms.iter().copied().flatten().map(|(name, _)| *name);
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_two_rooms_list_is_one() {
        let room: Calls = &[("read", "a"), ("ioctl", "b")];
        assert_eq!(count(&[room, room]), 2);
        assert_eq!(program(&[room, room]).unwrap().len(), program(&[room]).unwrap().len());
    }

    #[test]
    fn what_leads_out_can_not_even_be_listed() {
        for name in ["open", "openat", "execve", "socket", "connect", "clone", "mount", "bpf"] {
            assert!(program(&[Box::leak(Box::new([(name, "")]))]).is_err(), "{name}");
        }
    }
}
