//! The scheduler as a whole.

use std::{fmt, sync::Arc};

use crate::{Body, Entity, Timers};

/// Brings an executor out of application code (`Platform::kick`).
pub trait Kicker: Send + Sync {
    /// Ends the present stay of `executor` in application code, or the next one if there is none
    /// now. Never waits.
    fn kick(&self, executor: usize);
}

/// All executors, and what they share.
pub struct Sched {
    timers: Timers,
}

impl Sched {
    /// Makes a scheduler with that many executors; none runs yet.
    #[must_use]
    pub fn new(_executors: usize, _kicker: Arc<dyn Kicker>) -> Arc<Self> {
        todo!()
    }

    /// Starts the host threads: executors, I/O thread, workers. No host thread is made later.
    pub fn run(self: &Arc<Self>) {
        todo!()
    }

    /// Like `run`; executor N is pinned to CPU `cpus[N]` of the host (none: not pinned), and
    /// calls `started(N)` on its own thread before anything else. Returns when all have.
    pub fn run_on(
        self: &Arc<Self>,
        _cpus: &[usize],
        _started: impl Fn(usize) + Send + Sync + 'static,
    ) {
        todo!()
    }

    /// Makes an entity; it does not run before `start`.
    pub fn spawn(self: &Arc<Self>, _body: Arc<dyn Body>) -> Arc<Entity> {
        todo!()
    }

    /// Lets a spawned entity run, on an idle executor if there is one.
    pub fn start(&self, _entity: &Arc<Entity>) {
        todo!()
    }

    /// How many executors there are.
    #[must_use]
    pub fn executors(&self) -> usize {
        todo!()
    }

    /// The timers.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Now, in nanoseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        host::clock::monotonic_ns()
    }

    /// Brings all entities to rest at the user boundary, and keeps them there as long as the
    /// guard lives. Not to be called by an entity.
    #[must_use]
    pub fn stop(self: &Arc<Self>) -> StopGuard {
        todo!()
    }
}

impl fmt::Debug for Sched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sched").finish_non_exhaustive()
    }
}

/// Keeps all entities at rest; dropping it lets them go on.
#[derive(Debug)]
pub struct StopGuard {
    _sched: Arc<Sched>,
}
