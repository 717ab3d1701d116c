//! What a running body sees of its executor.

use std::{fmt, sync::Arc};

use corosensei::Yielder;

use crate::{
    Entity, Fire, Mutex, Sched,
    run::{Local, Pause},
    word::Mode,
};

/// How long to wait, and what else may end the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Ends the wait at this time of `CLOCK_MONOTONIC`.
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
    yielder: &'a Yielder<(), Pause>,
    entity: &'a Arc<Entity>,
    local: &'a Local,
}

impl<'a> Fiber<'a> {
    pub(crate) fn new(
        yielder: &'a Yielder<(), Pause>,
        entity: &'a Arc<Entity>,
        local: &'a Local,
    ) -> Self {
        Self { yielder, entity, local }
    }

    /// Number of the executor that runs this fiber; constant until the body returns.
    #[must_use]
    pub fn executor(&self) -> usize {
        self.local.executor.number
    }

    /// The entity that runs.
    #[must_use]
    pub fn entity(&self) -> &Arc<Entity> {
        self.entity
    }

    /// The scheduler.
    #[must_use]
    pub fn sched(&self) -> &Arc<Sched> {
        &self.local.sched
    }

    /// Waits: the only way to do so. No Sentry lock may be held.
    ///
    /// A wake that came before counts. It may come from an earlier wait's waker, so the caller
    /// looks at its condition after each (see [`crate::wait_until`]).
    #[track_caller]
    #[must_use]
    pub fn block(&self, wait: Wait) -> Wake {
        let mode = if wait.interruptible { Mode::Interruptible } else { Mode::Uninterruptible };
        self.wait(mode, wait.deadline_ns)
    }

    /// Waits for [`Entity::wake`] alone: neither interrupt nor stop end it. Only for what the host
    /// is sure to finish soon, since a stop waits for it.
    #[track_caller]
    pub fn block_through(&self) {
        self.wait(Mode::Through, None);
    }

    /// Runs `job` on a worker thread and waits for its result ([`Fiber::block_through`]): for host
    /// calls that may wait for a disk. The job must not touch state of the Sentry.
    #[track_caller]
    pub fn offload<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let result = Arc::new(Mutex::new(None));
        let (place, entity) = (Arc::clone(&result), Arc::clone(self.entity));
        self.sched().workers().submit(move || {
            let value = job();
            *place.lock() = Some(value);
            entity.wake();
        });
        loop {
            let value = result.lock().take();
            match value {
                Some(value) => return value,
                None => self.block_through(),
            }
        }
    }

    /// Brackets application code: runs `run`, unless an interrupt is pending, a stop is wanted or
    /// somebody else should run here first (`None`: see to the interrupt, then ask
    /// [`Fiber::boundary`]).
    pub fn enter_user<R>(&self, run: impl FnOnce() -> R) -> Option<R> {
        self.assert_no_lock();
        let executor = &self.local.executor;
        let now = self.local.charge(self.entity);
        if !self.entity.word.enter_user() {
            return None;
        }
        if !executor.enter_user(self.local.slice_ns.get(), now) {
            self.entity.word.leave_user();
            return None;
        }
        self.entity.times.enter_user(now);
        let result = run();
        let now = self.local.look_at_clock();
        self.local.charged_ns.set(now);
        self.entity.times.leave_user(now);
        executor.leave_user();
        self.entity.word.leave_user();
        Some(result)
    }

    /// To be asked at the user boundary: go on, or let others run?
    #[must_use]
    pub fn boundary(&self) -> Boundary {
        let executor = &self.local.executor;
        if self.entity.stop_wanted() {
            return Boundary::Leave;
        }
        if executor.queue.is_empty() {
            return self.affinity();
        }
        let now = self.local.look_at_clock();
        if executor.slice_is_over(self.local.slice_ns.get(), now) {
            return Boundary::Leave;
        }
        Boundary::Go
    }

    /// Nothing else is to run here: go to the executor that always wakes this entity?
    fn affinity(&self) -> Boundary {
        match self.entity.wants_to_move_to() {
            Some(target) if self.sched().has_empty_queue(target) => {
                self.entity.forget_wakers();
                self.local.move_to.set(Some(target));
                Boundary::Leave
            }
            _ => Boundary::Go,
        }
    }

    /// Lets the other runnable entities of this executor run first. For long work in the Sentry:
    /// between two pieces, without a lock.
    #[track_caller]
    pub fn yield_now(&self) {
        self.assert_no_lock();
        if self.local.executor.queue.is_empty() {
            return;
        }
        self.local.charge(self.entity);
        self.entity.word.requeue();
        self.yielder.suspend(Pause::Yielded);
    }

    /// Brings [`Entity::system_ns`] up to date.
    pub fn charge(&self) {
        self.local.charge(self.entity);
    }

    #[track_caller]
    fn wait(&self, mode: Mode, deadline_ns: Option<u64>) -> Wake {
        self.assert_no_lock();
        debug_assert!(!std::thread::panicking(), "block() while panicking");
        let mut timer = None;
        let wake = loop {
            let now = self.local.charge(self.entity);
            let expired = deadline_ns.is_some_and(|deadline| deadline <= now);
            let ended = if expired {
                self.entity.word.poll(mode).or(Some(Wake::TimedOut))
            } else {
                self.entity.word.block(mode)
            };
            if let Some(wake) = ended {
                break wake;
            }
            if let (Some(deadline), None) = (deadline_ns, timer) {
                let target: Arc<dyn Fire> = Arc::<Entity>::clone(self.entity);
                timer = Some(self.sched().timers().arm(deadline, Arc::downgrade(&target)));
            }
            self.yielder.suspend(Pause::Blocked);
        };
        if let Some(timer) = timer.filter(|_| wake != Wake::TimedOut) {
            self.sched().timers().cancel(timer);
        }
        wake
    }

    /// A lock that stays taken while its fiber is switched away can block this executor for ever:
    /// the next fiber that wants it never lets the holder run again.
    #[track_caller]
    fn assert_no_lock(&self) {
        let held = host::thread::locks_held();
        debug_assert!(held == 0, "{held} Sentry lock(s) held at a wait");
    }
}

impl fmt::Debug for Fiber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber")
            .field("entity", self.entity)
            .field("executor", &self.executor())
            .finish_non_exhaustive()
    }
}
