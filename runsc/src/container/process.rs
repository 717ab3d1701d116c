//! A host process that outlives the command which started it, named so that a reused pid is noticed.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Pid and start time; together they name one process since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostProcess {
    /// The pid in the pid namespace of `runsc`.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    started: u64,
}

impl HostProcess {
    /// Names the living process `pid`.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let stat = stat(pid).with_context(|| format!("process {pid}"))?;
        Ok(Self { pid, started: stat.started })
    }

    /// Does it still run? One that only waits to be reaped does not.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_ok_and(|stat| stat.started == self.started && !stat.ended)
    }

    /// A pidfd of it, if it lives.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Asked after opening: had the pid been reused before, the start time would differ.
        self.is_alive().then_some(fd)
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(self, patience: Duration) -> Result<()> {
        let Some(fd) = self.open() else { return Ok(()) };
        send(&fd, Signal::KILL)?;
        anyhow::ensure!(
            wait_for_end(&fd, patience)?,
            "process {} did not end within {patience:?} of SIGKILL",
            self.pid
        );
        Ok(())
    }
}

fn send(fd: &OwnedFd, signal: Signal) -> Result<()> {
    match pidfd_send_signal(fd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("signal a process"),
    }
}

/// Waits until the process of `pidfd` has ended; false when `patience` ran out.
pub(crate) fn wait_for_end(pidfd: impl AsFd, patience: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(patience)?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

struct Stat {
    started: u64,
    ended: bool,
}

fn stat(pid: i32) -> io::Result<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::Error::other("unexpected /proc/PID/stat"))
}

/// The second field is the name in brackets and may hold anything, so counting starts behind it.
fn parse(line: &str) -> Option<Stat> {
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { started, ended: matches!(state, "Z" | "X" | "x") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(of: &std::process::Child) -> HostProcess {
        HostProcess::of(i32::try_from(of.id()).unwrap()).unwrap()
    }

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_parser() {
        let line = "7 (a) b) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = parse(line).unwrap();
        assert_eq!(stat.started, 4711);
        assert!(stat.ended);
    }

    #[test]
    fn a_killed_process_is_gone_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let named = process(&child);
        assert!(named.is_alive());
        named.kill(Duration::from_secs(10)).unwrap();
        assert!(!named.is_alive());
        assert!(named.open().is_none());
        child.wait().unwrap();
        named.kill(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn another_process_with_the_same_pid_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let named = process(&child);
        let earlier = HostProcess { started: named.started - 1, ..named };
        assert!(!earlier.is_alive());
        earlier.kill(Duration::from_secs(10)).unwrap();
        assert!(named.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
