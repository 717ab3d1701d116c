//! What the scheduler schedules.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
};

use crate::{
    Fiber, Fire, Mutex, Sched,
    queue::Item,
    word::{Effect, Word},
};

/// The work of an entity. For a task of the kernel: run the application until it stops, handle
/// what it wanted, again.
pub trait Body: Send + Sync {
    /// Runs with an empty stack, at the user boundary: first when the entity has been started,
    /// then each time after it has returned [`Leave::Requeue`], possibly on another executor.
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave;
}

/// Why a [`Body`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Others should run. The stack is given back; any executor may run the body next.
    Requeue,
    /// The entity has ended.
    Exit,
}

/// Something that can run, wait, be woken and be interrupted: one per task.
///
/// It holds its [`Body`] until that has ended.
pub struct Entity {
    pub(crate) id: u64,
    pub(crate) sched: Arc<Sched>,
    pub(crate) word: Word,
    pub(crate) body: Mutex<Option<Arc<dyn Body>>>,
    /// The executor whose queue it is in, or that runs it, or on which it waits.
    pub(crate) home: AtomicUsize,
    /// Where `home` keeps its fiber, while it has one.
    pub(crate) slot: AtomicUsize,
    pub(crate) times: Times,
    affinity: Affinity,
}

/// CPU time. Written by the executor that runs the entity, read by all.
#[derive(Debug, Default)]
pub(crate) struct Times {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
    /// Since when it is in application code; 0 if it is not.
    user_since_ns: AtomicU64,
}

impl Times {
    pub(crate) fn charge_system(&self, ns: u64) {
        self.system_ns.store(self.system_ns.load(Relaxed).saturating_add(ns), Relaxed);
    }

    pub(crate) fn enter_user(&self, now_ns: u64) {
        self.user_since_ns.store(now_ns, Relaxed);
    }

    pub(crate) fn leave_user(&self, now_ns: u64) {
        let stay = now_ns.saturating_sub(self.user_since_ns.load(Relaxed));
        self.user_since_ns.store(0, Relaxed);
        self.user_ns.store(self.user_ns.load(Relaxed).saturating_add(stay), Relaxed);
    }
}

/// Who wakes it, again and again.
#[derive(Debug, Default)]
struct Affinity {
    waker: AtomicUsize,
    /// How many times running that executor has.
    wakes: AtomicU32,
}

impl Entity {
    pub(crate) fn new(id: u64, sched: Arc<Sched>, body: Arc<dyn Body>) -> Self {
        Self {
            id,
            sched,
            word: Word::new(),
            body: Mutex::new(Some(body)),
            home: AtomicUsize::new(0),
            slot: AtomicUsize::new(usize::MAX),
            times: Times::default(),
            affinity: Affinity::default(),
        }
    }

    /// Ends the present [`Fiber::block`], or lets the next one return at once. Any thread may call
    /// it; several wakes may merge into one.
    pub fn wake(&self) {
        let effect = self.word.wake();
        if effect == Effect::Enqueue {
            self.note_waker();
        }
        self.take(effect);
    }

    /// Sets *interrupt pending*: ends an interruptible wait with [`crate::Wake::Interrupted`] and
    /// brings the entity out of application code. Stays set until `clear_interrupt`.
    pub fn interrupt(&self) {
        self.take(self.word.interrupt());
    }

    /// Like `interrupt`, but for ever, and ends waits that are not interruptible as well.
    pub fn kill(&self) {
        self.take(self.word.kill());
    }

    /// Takes *interrupt pending* back (not what `kill` has set). Whoever does so looks afterwards
    /// whether there is still a reason for it.
    pub fn clear_interrupt(&self) {
        self.word.clear_interrupt();
    }

    /// True if an interrupt is pending.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        self.word.interrupt_pending()
    }

    /// True if [`Entity::kill`] was called.
    #[must_use]
    pub fn killed(&self) -> bool {
        self.word.killed()
    }

    /// True if the scheduler wants it at the user boundary.
    #[must_use]
    pub fn stop_wanted(&self) -> bool {
        self.word.stop_wanted()
    }

    /// True if it waits now (state `S` or `D` in procfs).
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.word.is_blocked()
    }

    /// True if its body has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.word.has_ended()
    }

    /// Nanoseconds spent in application code, up to now.
    #[must_use]
    pub fn user_ns(&self) -> u64 {
        let past = self.times.user_ns.load(Relaxed);
        match self.times.user_since_ns.load(Relaxed) {
            0 => past,
            since => past.saturating_add(self.sched.now_ns().saturating_sub(since)),
        }
    }

    /// Nanoseconds spent in the Sentry, up to the last wait or stay in application code
    /// ([`Fiber::charge`] brings it up to date).
    #[must_use]
    pub fn system_ns(&self) -> u64 {
        self.times.system_ns.load(Relaxed)
    }

    /// The executor that runs it, or ran it last.
    #[must_use]
    pub fn executor(&self) -> usize {
        self.home.load(SeqCst)
    }

    /// The executor that this entity should move to: one that has woken it several times running.
    /// Two that wake each other differ in patience, so that they do not just swap places.
    pub(crate) fn wants_to_move_to(&self) -> Option<usize> {
        let patience = if self.id.is_multiple_of(2) { 2 } else { 5 };
        (self.affinity.wakes.load(Relaxed) >= patience).then(|| self.affinity.waker.load(Relaxed))
    }

    pub(crate) fn forget_wakers(&self) {
        self.affinity.wakes.store(0, Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.take(self.word.stop());
    }

    fn note_waker(&self) {
        let home = self.home.load(SeqCst);
        let Some(waker) = host::thread::executor().filter(|&waker| waker != home) else {
            return self.forget_wakers();
        };
        let known = self.affinity.waker.swap(waker, Relaxed) == waker;
        let before = if known { self.affinity.wakes.load(Relaxed) } else { 0 };
        self.affinity.wakes.store(before.saturating_add(1), Relaxed);
    }

    fn take(&self, effect: Effect) {
        let home = self.home.load(SeqCst);
        match effect {
            Effect::Nothing => {}
            Effect::Enqueue => self.sched.enqueue(home, Item::Resume(self.slot.load(SeqCst))),
            Effect::Kick => self.sched.kick(home),
        }
    }
}

impl Fire for Entity {
    fn fire(&self, _now_ns: u64) {
        self.take(self.word.poke());
    }
}

impl Drop for Entity {
    fn drop(&mut self) {
        self.sched.forget(self.id);
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity")
            .field("id", &self.id)
            .field("word", &self.word)
            .field("home", &self.executor())
            .finish_non_exhaustive()
    }
}
