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
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Says to a test program, started once more, what to do behind the filter.
    const DEED: &str = "RUNSC_TEST_DEED";

    /// Not a test of its own: what a Sentry does that somebody has taken over.
    #[test]
    #[ignore = "run by a_forbidden_call_ends_a_sandbox_process, in a process of its own"]
    fn misbehaves() {
        let deed = std::env::var(DEED).unwrap();
        rustix::thread::set_no_new_privs(true).unwrap();
        install().unwrap();
        match deed.as_str() {
            "open" => drop(std::fs::File::open("/etc/passwd")),
            "run" => drop(Command::new("/bin/true").status()),
            "connect" => drop(std::net::TcpStream::connect("127.0.0.1:1")),
            "thread" => drop(std::thread::Builder::new().spawn(|| {})),
            _ => {}
        }
        crate::sandbox::spawn::exit_now(0);
    }

    #[test]
    fn a_forbidden_call_ends_a_sandbox_process() {
        let run = |deed: &str| {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--ignored", "--exact", "boot::filters::tests::misbehaves"]);
            again.env(DEED, deed).output().unwrap().status
        };
        for deed in ["open", "run", "connect", "thread"] {
            assert_eq!(run(deed).signal(), Some(libc::SIGSYS), "{deed}");
        }
        assert_eq!(run("nothing").code(), Some(0));
    }

    #[test]
    fn a_sandbox_process_may_make_at_most_sixty_different_calls() {
        assert!(seccomp::count(ROOMS) <= 60);
    }
}
