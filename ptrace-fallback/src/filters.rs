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
