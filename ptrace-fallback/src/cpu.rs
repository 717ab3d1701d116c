//! Keeps an executor and its tracees on one CPU: a stop that wakes another CPU costs five times
//! as much.

use std::sync::Arc;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
};

/// Which CPU each executor has.
#[derive(Clone, Debug)]
pub(crate) struct Cpus(Arc<[usize]>);

impl Cpus {
    /// Gives each executor a CPU of those that this thread may use, from the present one on:
    /// sandboxes that use few CPUs then don't all use the same. None if they are too few, or if
    /// the host does not tell.
    pub(crate) fn new(executors: usize) -> Self {
        let Ok(set) = sched_getaffinity(None) else { return Self([].into()) };
        let mut cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
        if cpus.len() < executors {
            return Self([].into());
        }
        let present = sched_getcpu();
        let first = cpus.iter().position(|cpu| *cpu == present).unwrap_or(0);
        cpus.rotate_left(first);
        cpus.truncate(executors);
        Self(cpus.into())
    }

    /// The CPU of an executor.
    pub(crate) fn of(&self, executor: usize) -> Option<usize> {
        self.0.get(executor).copied()
    }

    /// Pins the calling thread (`None`) or a tracee. Best effort.
    pub(crate) fn pin(&self, executor: usize, tid: Option<i32>) {
        let Some(cpu) = self.0.get(executor) else { return };
        set_affinity(tid, *cpu);
    }
}

/// Where a service thread is: it works on the CPU of whoever gives it orders.
#[derive(Debug)]
pub(crate) struct Seat {
    cpus: Cpus,
    tid: i32,
    cpu: Option<usize>,
}

impl Seat {
    pub(crate) fn new(cpus: Cpus, tid: i32) -> Self {
        Self { cpus, tid, cpu: None }
    }

    /// Moves the thread to the caller's CPU, unless it is there already.
    pub(crate) fn follow(&mut self) {
        if self.cpus.0.is_empty() {
            return;
        }
        let cpu = sched_getcpu();
        if self.cpu != Some(cpu) {
            set_affinity(Some(self.tid), cpu);
            self.cpu = Some(cpu);
        }
    }
}

fn set_affinity(tid: Option<i32>, cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(tid.and_then(Pid::from_raw), &set);
}
