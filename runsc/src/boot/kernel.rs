//! What the control server needs of a Sentry.

use std::os::fd::{BorrowedFd, OwnedFd};

use control::{Process, ProcessEntry, Report, Target, WindowSize};
use sentry::Stdio;

/// A Sentry with one container. No method waits.
pub(super) trait Kernel {
    /// Lets the first process run.
    fn start(&self) -> Result<(), Report>;
    /// Runs one more process; returns its id inside.
    fn exec(&self, process: Process, stdio: Stdio) -> Result<i32, Report>;
    /// The exit status of a process that has ended (128 + signal for a kill); `None` is the first process.
    fn exit_status(&self, pid: Option<i32>) -> Option<i32>;
    /// Readable, as an eventfd, when a status may have become known.
    fn exits(&self) -> BorrowedFd<'_>;
    /// Sends a signal.
    fn signal(&self, target: Target, signal: i32) -> Result<(), Report>;
    /// All processes.
    fn processes(&self) -> Vec<ProcessEntry>;
    /// The terminal of a process has a new size; without one it is read from the host's terminal.
    fn resize(&self, pid: Option<i32>, size: Option<WindowSize>) -> Result<(), Report>;
    /// Holds all tasks.
    fn pause(&self) -> Result<(), Report>;
    /// Lets them go on.
    fn resume(&self) -> Result<(), Report>;
    /// Describes all tasks.
    fn dump(&self) -> String;
    /// What is alive although all tasks have ended.
    fn leaks(&self) -> Vec<(&'static str, u64)>;
    /// Writes all state to `state` and all memory to `pages`.
    fn save(&self, state: OwnedFd, pages: OwnedFd) -> Result<(), Report>;
}
