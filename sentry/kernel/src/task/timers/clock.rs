//! The clocks that timers go by.

use std::sync::{Arc, Weak};

use abi::Errno;

use crate::{Kernel, Pid, Process, Task};

/// A clock.
#[derive(Clone, Debug, state::Save, state::Load)]
pub(super) enum Clock {
    /// Real time: one that is set to a time follows the clock when that is set.
    Realtime,
    /// Time since some start.
    Monotonic,
    /// The same with the time that the host slept.
    Boottime,
    /// Time that the process ran application code.
    UserCpu,
    /// Time that the process ran.
    ProcessCpu,
    /// Time that a task ran.
    TaskCpu(Weak<Task>),
}

impl Clock {
    /// The clock `number` (`clock_gettime(2)`) as `task` means it.
    pub(super) fn from_number(
        kernel: &Kernel,
        task: &Arc<Task>,
        number: i32,
    ) -> Result<Self, Errno> {
        match number {
            0 | 11 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 => Ok(Self::ProcessCpu),
            3 => Ok(Self::TaskCpu(Arc::downgrade(task))),
            7 => Ok(Self::Boottime),
            // They exist, but there are no timers on them.
            4..=6 | 8 | 9 => Err(Errno::EOPNOTSUPP),
            ..0 => Self::from_cpu_number(kernel, task, number),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `clock_getcpuclockid(3)`: the inverted number, bit 2 "a task", then which time. Timers on
    /// another process's clock are not served.
    fn from_cpu_number(kernel: &Kernel, task: &Arc<Task>, number: i32) -> Result<Self, Errno> {
        let id = Pid((!(number >> 3)).cast_unsigned());
        if number & 4 != 0 {
            let target = if id == Pid::NONE { Some(task.clone()) } else { kernel.task(id) };
            let target = target.filter(|target| Arc::ptr_eq(&target.process, &task.process));
            return target.map(|task| Self::TaskCpu(Arc::downgrade(&task))).ok_or(Errno::EINVAL);
        }
        if id != Pid::NONE && id != task.process.pid {
            return Err(Errno::EINVAL);
        }
        match number & 3 {
            0 | 2 => Ok(Self::ProcessCpu),
            1 => Ok(Self::UserCpu),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What it shows now.
    pub(super) fn now_ns(&self, process: &Process) -> u64 {
        match self {
            Self::Realtime => host::clock::realtime_ns(),
            Self::Monotonic => host::clock::monotonic_ns(),
            Self::Boottime => host::clock::boottime_ns(),
            Self::UserCpu => process.cpu_times().0,
            Self::ProcessCpu => sum(process.cpu_times()),
            Self::TaskCpu(task) => task.upgrade().map_or(0, |task| sum(task.cpu_times())),
        }
    }

    /// By how much it may at most advance in a nanosecond: on `executors` CPUs. `None` for a clock
    /// that always goes on.
    pub(super) fn speed(&self, process: &Process, executors: usize) -> Option<u64> {
        match self {
            Self::Realtime | Self::Monotonic | Self::Boottime => None,
            Self::UserCpu | Self::ProcessCpu => {
                Some(process.thread_count().min(executors).max(1) as u64)
            }
            Self::TaskCpu(_) => Some(1),
        }
    }
}

const fn sum((user, system): (u64, u64)) -> u64 {
    user.saturating_add(system)
}
