//! Numbers of host calls and flags as the registers of a stub hold them.

macro_rules! numbers {
    ($($name:ident = $nr:ident;)*) => {
        $(pub(crate) const $name: u64 = number(libc::$nr);)*
    };
}

const fn number(nr: libc::c_long) -> u64 {
    nr.unsigned_abs()
}

/// Widens a flag word.
pub(crate) const fn flag(flags: libc::c_int) -> u64 {
    flags.unsigned_abs() as u64
}

numbers! {
    WRITE = SYS_write;
    CLOSE = SYS_close;
    LSEEK = SYS_lseek;
    MMAP = SYS_mmap;
    MPROTECT = SYS_mprotect;
    MUNMAP = SYS_munmap;
    RT_SIGACTION = SYS_rt_sigaction;
    PAUSE = SYS_pause;
    DUP2 = SYS_dup2;
    RECVMSG = SYS_recvmsg;
    CLONE = SYS_clone;
    GETPPID = SYS_getppid;
    PRCTL = SYS_prctl;
    FUTEX = SYS_futex;
    EXIT_GROUP = SYS_exit_group;
    SECCOMP = SYS_seccomp;
}

/// Flags of a mapping of the memory object or of a file.
pub(crate) const MAP_FILE: u64 = flag(libc::MAP_SHARED | libc::MAP_FIXED);
/// Flags of the stub's own writable pages.
pub(crate) const MAP_OWN: u64 =
    flag(libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
