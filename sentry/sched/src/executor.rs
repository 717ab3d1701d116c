//! An executor: one host thread that runs fibers, one at a time.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use host::Parker;

use crate::{
    Fire, Kicker, Timers,
    queue::{Item, RunQueue},
    tick::Tick,
};

/// A time slice while all executors have work.
const SLICE_NS: u64 = 4_000_000;
/// The same while an executor is idle: who runs longer moves there and lets the next one run.
/// Not shorter, since two that just exchange messages are better off together.
const SHORT_SLICE_NS: u64 = 200_000;
/// How often an idle executor looks at its queue before it sleeps: some microseconds.
const SPINS: u32 = 200;

/// The part of an executor that all threads see.
pub(crate) struct Executor {
    pub(crate) number: usize,
    pub(crate) queue: RunQueue,
    parker: Parker,
    /// It has nothing to run. Whoever clears it (to send work) also unparks.
    idle: AtomicBool,
    /// It is in application code, or about to go there.
    in_user: AtomicBool,
    /// It has been kicked since it entered application code.
    kicked: AtomicBool,
    tick: Tick,
    kicker: Arc<dyn Kicker>,
    timers: Arc<Timers>,
    /// How many executors are idle.
    idle_count: Arc<AtomicUsize>,
    itself: Weak<dyn Fire>,
}

impl Executor {
    pub(crate) fn new(
        number: usize,
        kicker: &Arc<dyn Kicker>,
        timers: &Arc<Timers>,
        idle_count: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself: &Weak<Self>| Self {
            number,
            queue: RunQueue::default(),
            parker: Parker::new(),
            idle: AtomicBool::new(false),
            in_user: AtomicBool::new(false),
            kicked: AtomicBool::new(false),
            tick: Tick::default(),
            kicker: Arc::clone(kicker),
            timers: Arc::clone(timers),
            idle_count: Arc::clone(idle_count),
            itself: Weak::<Self>::clone(itself),
        })
    }

    /// Queues `item` here, and sees to it that the executor looks at its queue soon.
    pub(crate) fn send(&self, item: Item) {
        self.queue.push(item);
        if host::thread::executor() == Some(self.number) {
            // It looks at its queue before it enters application code, waits or sleeps.
            return;
        }
        // Each flag is set before its owner looks at the queue; here it is the other way round.
        if self.idle.load(SeqCst) {
            self.parker.unpark();
        } else if self.in_user.load(SeqCst) && !self.tick.is_wanted() {
            self.kick();
        }
    }

    /// Like `send`, to an executor that [`Executor::claim`] has given us.
    pub(crate) fn send_claimed(&self, item: Item) {
        self.queue.push(item);
        self.parker.unpark();
    }

    /// Reserves the executor if it is idle.
    pub(crate) fn claim(&self) -> bool {
        let idle = self.idle.load(Relaxed) && self.idle.swap(false, SeqCst);
        if idle {
            self.idle_count.fetch_sub(1, SeqCst);
        }
        idle
    }

    /// Kicks it out of application code: once per stay.
    pub(crate) fn kick(&self) {
        if !self.kicked.swap(true, SeqCst) {
            self.kicker.kick(self.number);
        }
    }

    /// Sleeps until there may be something to run. `look` is asked once more after everybody
    /// could know that this executor is idle.
    pub(crate) fn rest<T>(&self, look: impl FnOnce() -> Option<T>) -> Option<T> {
        self.idle_count.fetch_add(1, SeqCst);
        self.idle.store(true, SeqCst);
        let found = look();
        if found.is_none() && !self.spin() {
            self.parker.park();
        }
        self.claim();
        found
    }

    /// True if there was something to run soon.
    fn spin(&self) -> bool {
        (0..SPINS).any(|_| {
            std::hint::spin_loop();
            !self.queue.is_empty()
        })
    }

    /// True if a fiber that has run since `since_ns` should let others run.
    pub(crate) fn slice_is_over(&self, since_ns: u64, now_ns: u64) -> bool {
        !self.queue.is_empty() && now_ns >= self.end_of_slice(since_ns)
    }

    /// Says that application code is about to be entered; false if somebody else should run.
    /// The other side of `send`.
    pub(crate) fn enter_user(&self, since_ns: u64, now_ns: u64) -> bool {
        self.in_user.store(true, SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        if self.slice_is_over(since_ns, now_ns) {
            self.leave_user();
            return false;
        }
        self.tick.want(self.end_of_slice(since_ns), &self.timers, &self.itself);
        true
    }

    /// Application code was left, or not entered after all. Whoever calls it looks at the queue
    /// and at the entity's word afterwards.
    pub(crate) fn leave_user(&self) {
        self.tick.forget();
        self.in_user.store(false, SeqCst);
        self.kicked.store(false, SeqCst);
    }

    fn end_of_slice(&self, since_ns: u64) -> u64 {
        let somebody_idle = self.idle_count.load(Relaxed) > 0;
        since_ns.saturating_add(if somebody_idle { SHORT_SLICE_NS } else { SLICE_NS })
    }
}

impl Fire for Executor {
    /// The tick.
    fn fire(&self, now_ns: u64) {
        if self.tick.ring(now_ns, &self.timers, &self.itself) && self.in_user.load(SeqCst) {
            self.kick();
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("number", &self.number)
            .field("queued", &self.queue.len())
            .field("idle", &self.idle)
            .field("in_user", &self.in_user)
            .field("tick", &self.tick)
            .finish_non_exhaustive()
    }
}
