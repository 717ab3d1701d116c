//! The host calls that this room makes after start, for the Sentry's filter.

/// Name and reason of each.
pub const CALLS: &[(&str, &str)] = &[
    ("close", "the Sentry's end of a dead space"),
    ("fcntl", "seal the order pages of a new space"),
    ("fstat", "where the file behind a mapping ends"),
    ("ftruncate", "size the order pages of a new space"),
    ("futex", "wake a service thread"),
    ("getcpu", "where the vDSO does not tell it: the CPU that a service thread is to follow to"),
    ("kill", "end a space"),
    ("lseek", "read the id that a service thread reports"),
    ("memfd_create", "order pages of a new space"),
    ("mmap", "order pages of a new space"),
    ("munmap", "order pages of a dead space"),
    ("pread64", "copy from a mapped file"),
    ("ptrace", "run application code"),
    ("pwrite64", "copy to a mapped file"),
    ("recvfrom", "wait for a service thread's acknowledgement"),
    ("sched_setaffinity", "keep an executor and its tracees on one CPU"),
    ("sendmsg", "hand files to a service thread"),
    ("setsockopt", "bound the wait for an acknowledgement"),
    ("socketpair", "the channel to a new space"),
    ("tgkill", "kick a tracee"),
    ("wait4", "wait for a tracee's next stop, reap a dead space"),
];

/// The host calls that the filter of a stub's application threads allows: the one in which a
/// fresh thread waits for its executor. Under SYSEMU none is made at all.
pub const APPLICATION_THREAD_CALLS: &[&str] = &["pause"];

/// The host calls of a stub's service threads, each with its arguments checked.
pub const SERVICE_THREAD_CALLS: &[&str] = &[
    "clone",
    "close",
    "dup2",
    "exit_group",
    "futex",
    "getppid",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "pause",
    "prctl",
    "recvmsg",
    "seccomp",
    "write",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use abi::{FpuState, Registers, UserAddr};
    use host::MemoryObject;
    use platform::{
        Exit, Platform, Protection, UserState,
        conformance::{CODE, NOTHING, PAGE, Program, Reg, file, go, map, map_file},
    };

    use super::*;
    use crate::{Ptrace, filter};

    /// The number of a call of the list.
    fn number(name: &str) -> u64 {
        let number = match name {
            "close" => libc::SYS_close,
            "fcntl" => libc::SYS_fcntl,
            "fstat" => libc::SYS_fstat,
            "ftruncate" => libc::SYS_ftruncate,
            "futex" => libc::SYS_futex,
            "getcpu" => libc::SYS_getcpu,
            "kill" => libc::SYS_kill,
            "lseek" => libc::SYS_lseek,
            "memfd_create" => libc::SYS_memfd_create,
            "mmap" => libc::SYS_mmap,
            "munmap" => libc::SYS_munmap,
            "pread64" => libc::SYS_pread64,
            "ptrace" => libc::SYS_ptrace,
            "pwrite64" => libc::SYS_pwrite64,
            "recvfrom" => libc::SYS_recvfrom,
            "sched_setaffinity" => libc::SYS_sched_setaffinity,
            "sendmsg" => libc::SYS_sendmsg,
            "setsockopt" => libc::SYS_setsockopt,
            "socketpair" => libc::SYS_socketpair,
            "tgkill" => libc::SYS_tgkill,
            "wait4" => libc::SYS_wait4,
            // Not this room's: the allocator's, and what a test prints and how it ends.
            "brk" => libc::SYS_brk,
            "exit" => libc::SYS_exit,
            "sigaltstack" => libc::SYS_sigaltstack,
            "madvise" => libc::SYS_madvise,
            "mprotect" => libc::SYS_mprotect,
            "mremap" => libc::SYS_mremap,
            "write" => libc::SYS_write,
            other => unreachable!("{other}"),
        };
        number.unsigned_abs()
    }

    /// Refuses this thread all host calls but those listed.
    fn confine() {
        let others = ["brk", "exit", "sigaltstack", "madvise", "mprotect", "mremap", "write"];
        let names = CALLS.iter().map(|(name, _)| *name).chain(others);
        let program = filter::refusing_all_but(names.map(number));
        let program: Vec<[u8; 8]> = program.iter().map(|one| one.to_bytes()).collect();
        let header = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap(),
            filter: program.as_ptr().cast_mut().cast(),
        };
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
        // SAFETY: reads the header and the program that it points to.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, 1, 0, &raw const header) };
        assert_eq!(done, 0);
    }

    #[test]
    fn the_list_of_host_calls_is_complete() {
        let memory = Arc::new(MemoryObject::new(1 << 20).unwrap());
        let platform = Ptrace::new(memory.clone(), 1).unwrap();
        let donated = file(PAGE);
        let program = Program::new().set(Reg::Rbx, NOTHING + PAGE).load().call(1).raw(&[0xf4]);
        memory.write(0, program.code());
        confine();
        let cx = platform.context(0).unwrap();
        let space = platform.new_space().unwrap();
        space.apply(&[map(CODE, PAGE, 0, Protection::READ_EXECUTE)]).unwrap();
        let fpu = FpuState::initial(platform.fpu_size_bytes());
        let mut state = UserState::new(Registers::for_exec(CODE, 0), fpu);
        assert!(matches!(go(&*cx, &space, &mut state), Exit::Fault { .. }));
        cx.exact_access(&space, &mut state).unwrap();
        space.apply(&[map_file(NOTHING + PAGE, PAGE, &donated, Protection::READ_WRITE)]).unwrap();
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        let at = UserAddr::new(NOTHING + PAGE);
        assert_eq!(space.copy_out(at, &[1, 2, 3, 4]), 4);
        assert_eq!(space.load(at), Some(0x0403_0201));
        let child = space.fork().unwrap();
        assert_eq!(go(&*cx, &child, &mut state), Exit::Trap { vector: 13, code: 0 });
        platform.kick(0);
        assert_eq!(cx.switch(&child, &mut state).unwrap(), Exit::Interrupted);
        cx.save_fpu(&mut state).unwrap();
        drop((child, space));
        // The filter is in force.
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::syscall(libc::SYS_dup, 0) }, -1);
    }
}
