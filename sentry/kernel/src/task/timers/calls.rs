//! The same for the running task.

use abi::Errno;

use super::{IntervalTimer, TimerNotify, TimerSetting};
use crate::task::Cx;

impl Cx<'_> {
    /// setitimer(2); returns what was left.
    #[expect(clippy::must_use_candidate, reason = "most callers do not care what was left")]
    pub fn set_interval_timer(&self, which: IntervalTimer, setting: TimerSetting) -> TimerSetting {
        let process = self.process();
        process.timers.set_interval(self.kernel(), process, which, setting)
    }

    /// `timer_create(2)`; returns the number of the timer. The rest is in
    /// [`crate::Process::timers`].
    ///
    /// # Errors
    ///
    /// As [`super::ProcessTimers::create`].
    pub fn create_timer(&self, clock: i32, notify: TimerNotify) -> Result<i32, Errno> {
        self.process().timers.create(self.kernel(), self.task, clock, notify)
    }
}
