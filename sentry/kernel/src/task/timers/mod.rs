//! Interval timers (setitimer(2)) and POSIX timers (`timer_create(2)`) of a process.
//!
//! All stand in the scheduler's set of timers while they are armed, and send their signals from
//! the I/O thread. Timers on CPU time are looked at when their time may have come at the
//! earliest, then every 1 to 16 ms: they are as late as that, as on Linux by a tick. One signal
//! of a timer waits at a time; what happens meanwhile is counted as its overrun.

mod alarm;
mod calls;
mod clock;
#[cfg(test)]
mod tests;
mod timer;

pub use alarm::TimerSetting;
pub(crate) use timer::Timer;

use std::{collections::BTreeMap, sync::Arc};

use abi::{Errno, SigFields, SigInfo, Signal};
use sched::Mutex;

use self::{clock::Clock, timer::Notify};
use crate::{Kernel, Limit, Pid, Process, Resource, Task};

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// An interval timer, by its number (setitimer(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalTimer {
    /// `ITIMER_REAL`: SIGALRM after real time.
    Real = 0,
    /// `ITIMER_VIRTUAL`: SIGVTALRM after time in application code.
    Virtual = 1,
    /// `ITIMER_PROF`: SIGPROF after CPU time.
    Prof = 2,
}

impl IntervalTimer {
    /// The one with this number.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn from_number(number: i32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Real),
            1 => Ok(Self::Virtual),
            2 => Ok(Self::Prof),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// How a POSIX timer tells of its expiration (sigevent(3type)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerNotify {
    /// `SIGEV_NONE`.
    Nobody,
    /// `SIGEV_SIGNAL`; `None`: SIGALRM with the number of the timer (no `struct sigevent` given).
    Process(Option<(Signal, u64)>),
    /// `SIGEV_THREAD_ID`: a task of the same process.
    Task(Pid, Signal, u64),
}

/// The timers of a process.
#[derive(Debug, Default, state::Save, state::Load)]
pub struct ProcessTimers(Mutex<Inner>);

#[derive(Debug, Default, state::Save, state::Load)]
struct Inner {
    intervals: [Option<Arc<Timer>>; 3],
    posix: BTreeMap<i32, Arc<Timer>>,
    next_id: i32,
    /// Made when there is a limit for the first time.
    cpu_limit: Option<Arc<Timer>>,
}

impl ProcessTimers {
    /// setitimer(2): sets a timer of `process`, whose timers these are; returns what was left.
    pub fn set_interval(
        &self,
        kernel: &Arc<Kernel>,
        process: &Arc<Process>,
        which: IntervalTimer,
        setting: TimerSetting,
    ) -> TimerSetting {
        let timer = {
            let mut inner = self.0.lock();
            let Some(slot) = inner.intervals.get_mut(which as usize) else {
                return TimerSetting::default();
            };
            if slot.is_none() && setting.value_ns == 0 {
                return TimerSetting::default();
            }
            let (clock, signal) = match which {
                IntervalTimer::Real => (Clock::Monotonic, Signal::SIGALRM),
                IntervalTimer::Virtual => (Clock::UserCpu, Signal::SIGVTALRM),
                IntervalTimer::Prof => (Clock::ProcessCpu, Signal::SIGPROF),
            };
            let make = || Timer::new(0, (kernel, process), clock, Notify::Interval(signal));
            slot.get_or_insert_with(make).clone()
        };
        timer.set(setting, false)
    }

    /// getitimer(2).
    #[must_use]
    pub fn interval(&self, which: IntervalTimer) -> TimerSetting {
        let timer = self.0.lock().intervals.get(which as usize).cloned().flatten();
        timer.map_or_else(TimerSetting::default, |timer| timer.setting())
    }

    /// `RLIMIT_CPU` of `process`, whose timers these are, is what its limits say now: SIGXCPU at
    /// the soft limit and each second from there on, SIGKILL at the hard one (getrlimit(2)).
    pub fn limit_cpu(&self, kernel: &Arc<Kernel>, process: &Arc<Process>) {
        let soft = process.limits.lock().soft(Resource::Cpu);
        let unlimited = soft == Limit::NONE.soft;
        let timer = {
            let mut inner = self.0.lock();
            if unlimited && inner.cpu_limit.is_none() {
                return;
            }
            let make = || Timer::new(0, (kernel, process), Clock::ProcessCpu, Notify::CpuLimit);
            inner.cpu_limit.get_or_insert_with(make).clone()
        };
        // As Linux, which takes no time at all for a second.
        let value_ns = if unlimited { 0 } else { soft.max(1).saturating_mul(SECOND_NS) };
        timer.set(TimerSetting { value_ns, interval_ns: SECOND_NS }, true);
    }

    /// `timer_create(2)`: makes a disarmed timer on clock `clock` for `task`, one of the process
    /// whose timers these are; returns its number.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown clock or a task of another process, `EOPNOTSUPP` for a clock that
    /// has no timers, `EAGAIN` at `RLIMIT_SIGPENDING`.
    pub fn create(
        &self,
        kernel: &Arc<Kernel>,
        task: &Arc<Task>,
        clock: i32,
        notify: TimerNotify,
    ) -> Result<i32, Errno> {
        let process = &task.process;
        let clock = Clock::from_number(kernel, task, clock)?;
        let limit = process.limits.lock().soft(Resource::Sigpending);
        let target = match notify {
            TimerNotify::Task(tid, ..) => Some(sibling(kernel, process, tid)?),
            TimerNotify::Nobody | TimerNotify::Process(_) => None,
        };
        let mut inner = self.0.lock();
        if inner.posix.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        let id = inner.free_id().ok_or(Errno::EAGAIN)?;
        let notify = match (notify, target) {
            (TimerNotify::Process(None), _) => {
                // `sival_int` is the lower half of the value.
                Notify::Process(Signal::SIGALRM, u64::from(id.cast_unsigned()))
            }
            (TimerNotify::Process(Some((signal, value))), _) => Notify::Process(signal, value),
            (TimerNotify::Task(_, signal, value), Some(task)) => {
                Notify::Task(Arc::downgrade(&task), signal, value)
            }
            _ => Notify::Nobody,
        };
        inner.posix.insert(id, Timer::new(id, (kernel, process), clock, notify));
        Ok(id)
    }

    /// `timer_settime(2)`: `absolute` (`TIMER_ABSTIME`) means that the value is a time of the
    /// timer's clock; returns what was left.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such timer.
    pub fn set(
        &self,
        id: i32,
        setting: TimerSetting,
        absolute: bool,
    ) -> Result<TimerSetting, Errno> {
        Ok(self.get(id)?.set(setting, absolute))
    }

    /// `timer_gettime(2)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such timer.
    pub fn setting(&self, id: i32) -> Result<TimerSetting, Errno> {
        Ok(self.get(id)?.setting())
    }

    /// `timer_getoverrun(2)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such timer.
    pub fn overrun(&self, id: i32) -> Result<u64, Errno> {
        Ok(self.get(id)?.overrun())
    }

    /// `timer_delete(2)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such timer.
    pub fn delete(&self, id: i32) -> Result<(), Errno> {
        let timer = self.0.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
        timer.disarm();
        Ok(())
    }

    /// A signal of this process was taken: if it is one of a timer, it learns what has happened
    /// until now. [`Task::take_signal`] calls it; so must who takes from [`Process::pending`].
    #[must_use]
    pub fn taken(&self, mut info: SigInfo) -> SigInfo {
        if let SigFields::Timer { id, overrun, .. } = &mut info.fields
            && let Ok(timer) = self.get(*id)
        {
            *overrun = timer.taken(*overrun);
        }
        info
    }

    fn get(&self, id: i32) -> Result<Arc<Timer>, Errno> {
        self.0.lock().posix.get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// The numbers of all POSIX timers.
    #[must_use]
    pub fn ids(&self) -> Vec<i32> {
        self.0.lock().posix.keys().copied().collect()
    }

    /// The process ends.
    pub(crate) fn disarm_all(&self) {
        let inner = std::mem::take(&mut *self.0.lock());
        let kernels = inner.intervals.iter().chain([&inner.cpu_limit]).flatten();
        kernels.chain(inner.posix.values()).for_each(|timer| timer.disarm());
    }

    /// A new program: POSIX timers go, with the signals of theirs that nobody has taken; interval
    /// timers stay (execve(2)).
    pub(crate) fn exec(&self, process: &Process) {
        let posix = std::mem::take(&mut self.0.lock().posix);
        if posix.is_empty() {
            return;
        }
        posix.values().for_each(|timer| timer.disarm());
        process.pending.lock().discard_timers();
        for task in process.threads() {
            task.pending.lock().discard_timers();
        }
    }
}

impl Inner {
    /// The next number that is not taken.
    fn free_id(&mut self) -> Option<i32> {
        for _ in 0..=self.posix.len() {
            let id = self.next_id;
            self.next_id = id.checked_add(1).unwrap_or(0);
            if !self.posix.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }
}

/// The task `tid` of `process`.
fn sibling(kernel: &Kernel, process: &Arc<Process>, tid: Pid) -> Result<Arc<Task>, Errno> {
    let task = kernel.task(tid).filter(|task| Arc::ptr_eq(&task.process, process));
    task.ok_or(Errno::EINVAL)
}
