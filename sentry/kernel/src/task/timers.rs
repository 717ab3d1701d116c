//! Interval timers (setitimer(2)) and POSIX timers (timer_create(2)) of a process.

use std::sync::Arc;

use crate::Kernel;

/// The timers of a process.
#[derive(Debug, Default)]
pub struct ProcessTimers {}

impl ProcessTimers {
    /// The process ends.
    pub(crate) fn disarm_all(&self, kernel: &Arc<Kernel>) {
        let _ = kernel;
    }

    /// A new program: POSIX timers go, interval timers stay (execve(2)).
    pub(crate) fn exec(&self, kernel: &Arc<Kernel>) {
        let _ = kernel;
    }
}
