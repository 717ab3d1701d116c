//! The host calls of this room, for the sandbox's filter.

/// Name and reason of each host call that this crate, or Rust's runtime under it, makes after
/// the filter is set.
pub const CALLS: &[(&str, &str)] = &[
    ("brk", "memory for the Sentry's own objects"),
    ("mmap", "memory for the Sentry's own objects; fiber stacks"),
    ("mremap", "memory for the Sentry's own objects"),
    ("munmap", "memory given back"),
    ("madvise", "pages of fiber stacks given back; guards; the allocator"),
    ("mprotect", "guards of fiber stacks on hosts before 6.13; the allocator's arenas"),
    ("futex", "park and unpark"),
    ("sched_yield", "waiting for a lock"),
    ("clock_gettime", "clocks on hosts without a vDSO clock"),
    ("getrandom", "random bytes"),
    ("epoll_ctl", "watching donated file descriptors"),
    ("epoll_pwait", "the I/O thread"),
    ("epoll_wait", "the I/O thread"),
    ("timerfd_settime", "the next timer"),
    ("poll", "state of donated file descriptors"),
    ("ppoll", "state of donated file descriptors"),
    ("read", "the alarm; donated streams"),
    ("write", "donated streams; the error channel"),
    ("pread64", "donated files"),
    ("preadv2", "donated files, as far as the host has them in memory"),
    ("pwrite64", "donated files"),
    ("fsync", "donated files"),
    ("fdatasync", "donated files"),
    ("fstat", "donated files"),
    ("newfstatat", "the same, as some libraries ask"),
    ("statx", "the same, as some libraries ask"),
    ("ftruncate", "donated files"),
    ("fallocate", "memory of applications given back; donated files"),
    ("fcntl", "non-blocking sockets and streams"),
    ("ioctl", "terminals: TCGETS, TCSETS, TIOCGWINSZ, TIOCSWINSZ and the like"),
    ("sendmsg", "requests to Gofers"),
    ("recvmsg", "replies of Gofers, with donated files"),
    ("close", "donated file descriptors that are no longer needed"),
    ("rt_sigreturn", "kicks of executors"),
    ("rt_sigprocmask", "the end of a thread or of the process"),
    ("sigaltstack", "the end of a thread"),
    ("gettid", "abort"),
    ("getpid", "abort"),
    ("tgkill", "abort"),
    ("exit", "the end of a thread"),
    ("exit_group", "the end of the sandbox"),
    ("restart_syscall", "a wait after the host was suspended"),
];

#[cfg(test)]
mod tests {
    use super::CALLS;

    #[test]
    fn no_call_is_listed_twice_and_each_has_a_reason() {
        for (at, (name, reason)) in CALLS.iter().enumerate() {
            assert!(!reason.is_empty(), "{name}");
            assert!(CALLS[..at].iter().all(|(other, _)| other != name), "{name} twice");
        }
    }

    #[test]
    fn what_opens_or_executes_is_not_listed() {
        for name in ["open", "openat", "openat2", "execve", "execveat", "socket", "connect"] {
            assert!(CALLS.iter().all(|(listed, _)| *listed != name), "{name}");
        }
    }
}
