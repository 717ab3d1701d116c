//! Host calls of the control thread; and the filter of the whole sandbox process.

use anyhow::Result;

use crate::seccomp::{self, Calls};

/// Name and reason of each call of the control thread after start.
const CALLS: Calls = &[
    ("accept4", "control connections"),
    ("close", "ended connections"),
    ("exit_group", "the end of the container"),
    ("getsockopt", "who connects"),
    ("ppoll", "waiting for all of them"),
    ("read", "signals, bells"),
    ("recvmsg", "requests, with stdio"),
    ("sendmsg", "replies"),
    ("write", "the log, the report of a panic"),
];

/// The lists of all rooms that are in a sandbox process.
const ROOMS: &[Calls] = &[CALLS, host::filters::CALLS, ptrace_fallback::filters::CALLS];

/// Installs the filter of the whole process, for good.
pub(super) fn install() -> Result<()> {
    seccomp::install(ROOMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_process_may_make_at_most_sixty_different_calls() {
        assert!(seccomp::count(ROOMS) <= 60);
    }
}
