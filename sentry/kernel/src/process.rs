//! Processes: what the tasks of a thread group share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering},
    },
};

use abi::Signal;
use sched::{Mutex, WaitQueue};
use state::live::Live;

use crate::{
    ExitStatus, Limits, Pid, Task,
    signal::{Pending, SignalActions},
};

/// A process (thread group).
#[derive(Debug, state::Save, state::Load)]
pub struct Process {
    /// Its number: that of its leader.
    pub pid: Pid,
    /// Signals sent to the process, not to a task.
    pub pending: Mutex<Pending>,
    /// Told of every signal sent to the process or one of its tasks (signalfd(2)).
    #[state(skip)]
    pub signal_sent: WaitQueue,
    /// Told when a child ends, stops or continues (wait(2)), and when a task of this process ends.
    #[state(skip)]
    pub child_changed: WaitQueue,
    /// Resource limits.
    pub limits: Mutex<Limits>,
    /// Interval and POSIX timers.
    pub timers: crate::task::ProcessTimers,
    /// `PR_SET_DUMPABLE`: 0 or 1.
    pub dumpable: AtomicU32,
    /// Nice value, -20 to 19 (getpriority(2)).
    pub nice: AtomicI32,
    #[state(early)]
    actions: Mutex<Arc<SignalActions>>,
    threads: Mutex<BTreeMap<Pid, Arc<Task>>>,
    pub(crate) state: Mutex<GroupState>,
    /// CPU time of ended tasks, and of children that were waited for, in nanoseconds.
    pub times: CpuTimes,
    #[state(skip)]
    _live: Live<Self>,
}

/// CPU times that outlive tasks; each field is the time of its name (times(2)).
#[derive(Debug, Default, state::Save, state::Load)]
pub struct CpuTimes {
    pub ended_user_ns: AtomicU64,
    pub ended_system_ns: AtomicU64,
    pub children_user_ns: AtomicU64,
    pub children_system_ns: AtomicU64,
}

/// What all tasks of a process have to do together.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct GroupState {
    /// All are to end, with this status.
    pub(crate) exiting: Option<ExitStatus>,
    /// All but this one are to end, since it executes a new program.
    pub(crate) exec_by: Option<Pid>,
    /// All are to stop; by which signal.
    pub(crate) stopped_by: Option<Signal>,
    /// The parent was told of this stop.
    pub(crate) stop_reported: bool,
    /// How many tasks stand still for the stop.
    pub(crate) standing: usize,
}

impl Process {
    pub(crate) fn new(pid: Pid, actions: Arc<SignalActions>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            pid,
            pending: Mutex::default(),
            signal_sent: WaitQueue::new(),
            child_changed: WaitQueue::new(),
            limits: Mutex::new(limits),
            timers: crate::task::ProcessTimers::default(),
            dumpable: AtomicU32::new(1),
            nice: AtomicI32::new(0),
            actions: Mutex::new(actions),
            threads: Mutex::default(),
            state: Mutex::default(),
            times: CpuTimes::default(),
            _live: Live::new(),
        })
    }

    /// What it does on signals.
    #[must_use]
    pub fn actions(&self) -> Arc<SignalActions> {
        self.actions.lock().clone()
    }

    pub(crate) fn set_actions(&self, actions: Arc<SignalActions>) {
        *self.actions.lock() = actions;
    }

    /// Its living tasks, by number.
    #[must_use]
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.threads.lock().values().cloned().collect()
    }

    /// How many living tasks it has.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    /// Its leader, or any task if the leader has ended; `None` for a zombie.
    #[must_use]
    pub fn any_task(&self) -> Option<Arc<Task>> {
        let threads = self.threads.lock();
        threads.get(&self.pid).or_else(|| threads.values().next()).cloned()
    }

    /// Adds a task; false if the process is ending (or executing), so that there is no new task.
    pub(crate) fn add_thread(&self, task: &Arc<Task>) -> bool {
        let mut threads = self.threads.lock();
        let state = self.state.lock();
        if state.exiting.is_some() || state.exec_by.is_some() {
            return false;
        }
        drop(state);
        threads.insert(task.tid(), task.clone());
        true
    }

    /// Removes a task and returns how many are left.
    pub(crate) fn remove_thread(&self, tid: Pid) -> usize {
        let mut threads = self.threads.lock();
        threads.remove(&tid);
        threads.len()
    }

    /// The executing task takes the number of the leader.
    pub(crate) fn rename_thread(&self, from: Pid, to: Pid) {
        let mut threads = self.threads.lock();
        if let Some(task) = threads.remove(&from) {
            threads.insert(to, task);
        }
    }

    /// Ends all tasks with `status`, unless they are ending already.
    pub fn kill_all(&self, status: ExitStatus) {
        {
            let mut state = self.state.lock();
            if state.exiting.is_none() {
                state.exiting = Some(status);
            }
            state.stopped_by = None;
        }
        for task in self.threads() {
            task.kill();
        }
    }

    /// The status with which the process ends, if it is ending.
    #[must_use]
    pub fn exiting(&self) -> Option<ExitStatus> {
        self.state.lock().exiting
    }

    /// User and system time of all its tasks, ended ones included, in nanoseconds.
    #[must_use]
    pub fn cpu_times(&self) -> (u64, u64) {
        let mut user = self.times.ended_user_ns.load(Ordering::Relaxed);
        let mut system = self.times.ended_system_ns.load(Ordering::Relaxed);
        for task in self.threads() {
            let (task_user, task_system) = task.cpu_times();
            user += task_user;
            system += task_system;
        }
        (user, system)
    }
}
