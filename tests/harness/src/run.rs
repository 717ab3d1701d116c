//! A command with a deadline.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Long enough for a loaded machine with two cores, short enough to notice a hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// A command that is killed, with its process group, when its time is over.
#[derive(Debug)]
pub struct Run {
    command: Command,
    deadline: Duration,
    stdin: Vec<u8>,
}

/// What a command left: status and all it wrote.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
}

impl Output {
    /// Exit status as a shell tells it: 128 + signal for a kill.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Itself, if it succeeded in time.
    ///
    /// # Errors
    ///
    /// Otherwise; the error shows everything.
    pub fn success(self) -> Result<Self> {
        ensure!(!self.timed_out, "timed out: {self:?}");
        ensure!(self.status.success(), "failed: {self:?}");
        Ok(self)
    }
}

impl Run {
    /// Prepares to run `program`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), deadline: DEADLINE, stdin: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder that it starts in.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Gives it another deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it to its end, or to its deadline.
    ///
    /// # Errors
    ///
    /// When it cannot be started or waited for; a failing command is not an error.
    pub fn output(self) -> Result<Output> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let (status, timed_out) = self.into_files(&stdout, &stderr)?;
        Ok(Output { status, timed_out, stdout: whole(&mut stdout)?, stderr: whole(&mut stderr)? })
    }

    /// Runs it with its output in files that the caller keeps: processes that it leaves behind go
    /// on writing there. Returns its status and whether its time was over.
    ///
    /// # Errors
    ///
    /// When it cannot be started or waited for.
    pub fn into_files(mut self, stdout: &File, stderr: &File) -> Result<(ExitStatus, bool)> {
        let mut stdin = tempfile::tempfile()?;
        stdin.write_all(&self.stdin)?;
        stdin.rewind()?;
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut child = self
            .command
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout.try_clone()?))
            .stderr(Stdio::from(stderr.try_clone()?))
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        wait(&mut child, self.deadline)
    }
}

/// Waits for `child`; after `deadline` kills its process group.
fn wait(child: &mut Child, deadline: Duration) -> Result<(ExitStatus, bool)> {
    let pid = Pid::from_child(child);
    let ended = wait_for_exit(pid, deadline)?;
    if !ended {
        kill_process_group(pid, Signal::KILL).context("kill")?;
    }
    Ok((child.wait()?, !ended))
}

/// Waits until the process has ended, at most for `limit`; says whether it did.
///
/// # Errors
///
/// When the host refuses to watch it.
pub(crate) fn wait_for_exit(pid: Pid, limit: Duration) -> Result<bool> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        other => other.context("pidfd_open")?,
    };
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::try_from(left)?)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => bail!("poll: {error}"),
        }
    }
}

/// All that was written to `file` so far.
pub(crate) fn whole(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_are_kept_apart() {
        let run = Run::new("/bin/sh").args(["-c", "cat; echo bad >&2; exit 4"]).stdin("in");
        let output = run.output().unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("in", "bad\n"));
        assert_eq!(output.code(), 4);
        assert!(!output.timed_out);
    }

    #[test]
    fn a_hang_ends_at_its_deadline_with_its_children() {
        let run = Run::new("/bin/sh").args(["-c", "sleep 100 & wait"]);
        let output = run.deadline(Duration::from_millis(100)).output().unwrap();
        assert!(output.timed_out);
        assert_eq!(output.code(), 128 + 9);
        assert!(output.success().is_err());
    }

    #[test]
    fn a_background_child_does_not_keep_the_command() {
        let output = Run::new("/bin/sh").args(["-c", "sleep 2 & echo done"]).output().unwrap();
        assert_eq!(output.success().unwrap().stdout, "done\n");
    }
}
