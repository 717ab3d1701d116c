//! What a running body sees of its executor.

use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{Entity, Sched};

/// How long to wait, and what else may end the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Ends the wait at this time of CLOCK_MONOTONIC.
    pub deadline_ns: Option<u64>,
    /// True if [`Entity::interrupt`] ends the wait.
    pub interruptible: bool,
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// By [`Entity::wake`].
    Woken,
    /// The deadline has passed.
    TimedOut,
    /// By [`Entity::interrupt`] or [`Entity::kill`].
    Interrupted,
    /// The scheduler is being stopped ([`Sched::stop`]): go back to the user boundary.
    Stopping,
}

/// Answer of [`Fiber::boundary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Go on.
    Go,
    /// Return [`crate::Leave::Requeue`]: somebody else should run here.
    Leave,
}

/// The running entity's handle on its executor. It stays on the stack of the fiber.
pub struct Fiber<'a> {
    marker: PhantomData<&'a ()>,
}

impl Fiber<'_> {
    /// Number of the executor that runs this fiber; constant until the body returns.
    #[must_use]
    pub fn executor(&self) -> usize {
        todo!()
    }

    /// The entity that runs.
    #[must_use]
    pub fn entity(&self) -> &Arc<Entity> {
        todo!()
    }

    /// The scheduler.
    #[must_use]
    pub fn sched(&self) -> &Arc<Sched> {
        todo!()
    }

    /// Waits: the only way to do so. No Sentry lock may be held.
    pub fn block(&self, _wait: Wait) -> Wake {
        todo!()
    }

    /// Waits for [`Entity::wake`] alone: neither interrupt nor stop end it. Only for what the host
    /// is sure to finish soon.
    pub fn block_through(&self) {
        todo!()
    }

    /// Runs `job` on a worker thread and waits for its result ([`Fiber::block_through`]): for host
    /// calls that may wait for a disk.
    pub fn offload<R: Send + 'static>(&self, _job: impl FnOnce() -> R + Send + 'static) -> R {
        todo!()
    }

    /// Brackets application code: runs `run`, unless an interrupt is pending, a stop is wanted or
    /// somebody else should run here first (`None`: see to that, then ask [`Fiber::boundary`]).
    pub fn enter_user<R>(&self, _run: impl FnOnce() -> R) -> Option<R> {
        todo!()
    }

    /// To be asked at the user boundary: go on, or let others run?
    #[must_use]
    pub fn boundary(&self) -> Boundary {
        todo!()
    }

    /// Lets the other runnable entities of this executor run first.
    pub fn yield_now(&self) {
        todo!()
    }
}

impl fmt::Debug for Fiber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber").finish_non_exhaustive()
    }
}
