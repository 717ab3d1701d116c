//! The host system calls of the Gofer, each with its reason, and the filter made of them.
//!
//! Everything else ends the process. In particular there is no call here that makes a socket, runs a
//! program, starts a process or thread, maps a file or executable memory, or makes a device.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A system call that the Gofer makes.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Name, as in its manual page.
    pub name: &'static str,
    /// Number on this machine.
    pub number: i64,
    /// What the Gofer needs it for.
    pub reason: &'static str,
    /// Conditions of which one must hold; none means any arguments.
    pub only: &'static [&'static [Arg]],
}

/// A test of a 32-bit argument.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// Argument `.0` is `.1`.
    Is(u8, u32),
    /// Argument `.0` is not `.1`.
    IsNot(u8, u32),
    /// The bits `.1` of argument `.0` are `.2`.
    Bits(u8, u32, u32),
}

/// One line of the list: the name gives the number.
macro_rules! calls {
    ($($name:ident $number:ident $reason:literal $([$($only:expr),*])?;)*) => {
        &[$(Call {
            name: stringify!($name),
            number: libc::$number,
            reason: $reason,
            only: &[$($(&$only),*)?],
        }),*]
    };
}

const PROT_EXEC: u32 = 4;
const MAP_ANONYMOUS: u32 = 0x20;
const F_GETFD: u32 = 1;
const AT_FDCWD: u32 = (-100_i32).cast_unsigned();
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const MSG_NOSIGNAL: u32 = 0x4000;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFIFO: u32 = 0o010_000;
const S_IFSOCK: u32 = 0o140_000;
const S_IFCHR: u32 = 0o020_000;

/// All of them.
pub const CALLS: &[Call] = calls! {
    // The connection.
    read SYS_read "requests";
    sendmsg SYS_sendmsg "answers, with descriptors" [[Arg::Is(2, MSG_NOSIGNAL)]];
    // Getting at files.
    openat2 SYS_openat2 "a step down a tree" [[Arg::IsNot(0, AT_FDCWD)]];
    openat SYS_openat "a step without openat2; opening by /proc/self/fd; creating" [[Arg::IsNot(0, AT_FDCWD)]];
    close SYS_close "fids given back";
    fcntl SYS_fcntl "a check that debug builds make before close" [[Arg::Is(1, F_GETFD)]];
    statx SYS_statx "attributes";
    readlinkat SYS_readlinkat "where a link leads";
    fstatfs SYS_fstatfs "figures of a file system";
    // Contents.
    pread64 SYS_pread64 "reading a file that was not donated";
    pwrite64 SYS_pwrite64 "writing a file that was not donated";
    ftruncate SYS_ftruncate "setting a length";
    fallocate SYS_fallocate "reserving and freeing space";
    fsync SYS_fsync "storing data and metadata";
    fdatasync SYS_fdatasync "storing data";
    getdents64 SYS_getdents64 "listing a directory";
    lseek SYS_lseek "going on in a directory";
    // Attributes.
    fchownat SYS_fchownat "owner and group" [[Arg::Is(4, AT_EMPTY_PATH)]];
    fchmodat SYS_fchmodat "permissions, by /proc/self/fd" [[Arg::IsNot(0, AT_FDCWD)]];
    utimensat SYS_utimensat "times, by /proc/self/fd" [[Arg::IsNot(0, AT_FDCWD)]];
    fgetxattr SYS_fgetxattr "an extended attribute";
    fsetxattr SYS_fsetxattr "an extended attribute";
    flistxattr SYS_flistxattr "names of extended attributes";
    fremovexattr SYS_fremovexattr "an extended attribute";
    // Names.
    mkdirat SYS_mkdirat "a directory" [[Arg::IsNot(0, AT_FDCWD)]];
    mknodat SYS_mknodat "a pipe, a socket file, an empty file or a whiteout, never a device"
        [[Arg::Bits(2, S_IFMT, S_IFREG)], [Arg::Bits(2, S_IFMT, S_IFIFO)],
         [Arg::Bits(2, S_IFMT, S_IFSOCK)], [Arg::Bits(2, S_IFMT, S_IFCHR), Arg::Is(3, 0)]];
    symlinkat SYS_symlinkat "a symbolic link" [[Arg::IsNot(1, AT_FDCWD)]];
    linkat SYS_linkat "a further name, by /proc/self/fd" [[Arg::Is(4, AT_SYMLINK_FOLLOW)]];
    renameat2 SYS_renameat2 "a move" [[Arg::IsNot(0, AT_FDCWD), Arg::IsNot(2, AT_FDCWD)]];
    unlinkat SYS_unlinkat "a removal" [[Arg::IsNot(0, AT_FDCWD)]];
    // The process itself.
    write SYS_write "the log";
    brk SYS_brk "the heap";
    mmap SYS_mmap "the heap" [[Arg::Bits(2, PROT_EXEC, 0), Arg::Bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS)]];
    mremap SYS_mremap "the heap";
    mprotect SYS_mprotect "the heap" [[Arg::Bits(2, PROT_EXEC, 0)]];
    madvise SYS_madvise "the heap and ending stacks";
    munmap SYS_munmap "the heap and ended threads";
    futex SYS_futex "waiting for threads; locks of the heap and the log";
    rt_sigprocmask SYS_rt_sigprocmask "an ending thread";
    sigaltstack SYS_sigaltstack "an ending thread";
    rt_sigreturn SYS_rt_sigreturn "return from a signal handler";
    restart_syscall SYS_restart_syscall "a call that goes on after a stop";
    clock_gettime SYS_clock_gettime "log times where the vDSO has no clock";
    exit SYS_exit "the end of a thread";
    exit_group SYS_exit_group "the end";
};

/// The filter as a program for the kernel.
///
/// # Errors
/// If this machine is none that seccompiler knows.
pub fn program() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules = BTreeMap::new();
    for call in CALLS {
        let only = call.only.iter().map(|all| rule(all)).collect::<Result<Vec<_>, _>>()?;
        rules.insert(call.number, only);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;
    Ok(filter.try_into()?)
}

fn rule(all: &[Arg]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = all.iter().map(|arg| {
        let (index, operator, value) = match *arg {
            Arg::Is(index, value) => (index, SeccompCmpOp::Eq, value),
            Arg::IsNot(index, value) => (index, SeccompCmpOp::Ne, value),
            Arg::Bits(index, mask, value) => (index, SeccompCmpOp::MaskedEq(mask.into()), value),
        };
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value.into())
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Binds every thread of the process to the filter, for good, and to no new privileges.
///
/// # Errors
/// If the kernel refuses, or a thread has a filter of its own.
pub fn install() -> Result<(), seccompiler::Error> {
    seccompiler::apply_filter_all_threads(&program()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_short_and_each_line_is_one_call_with_a_reason() {
        assert!(CALLS.len() <= 45, "{} calls", CALLS.len());
        for call in CALLS {
            assert_eq!(CALLS.iter().filter(|other| other.number == call.number).count(), 1);
            assert!(!call.reason.is_empty(), "{}", call.name);
        }
    }

    #[test]
    fn what_leads_out_is_not_on_the_list() {
        for forbidden in [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_ioctl,
            libc::SYS_chdir,
            libc::SYS_fchdir,
        ] {
            assert!(CALLS.iter().all(|call| call.number != forbidden), "{forbidden}");
        }
    }

    #[test]
    fn the_list_makes_a_program() {
        assert!(program().unwrap().len() > CALLS.len());
    }
}
