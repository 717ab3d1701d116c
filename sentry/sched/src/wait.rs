//! Wait queues.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Entity, Fiber, Mutex, Wait, Wake};

/// Told of events by a [`WaitQueue`], on the notifier's stack: short, and it must not block.
pub trait Notify: Send + Sync {
    /// `events` (those of the listener's mask) have happened.
    fn notify(&self, events: u32);
}

/// Somebody who wants to know of events.
pub struct Listener {
    mask: u32,
    fired: AtomicU32,
    target: Target,
}

enum Target {
    Task(Arc<Entity>),
    Callback(Weak<dyn Notify>),
}

impl Listener {
    /// Wakes `entity` when an event of `mask` happens.
    #[must_use]
    pub fn task(entity: &Arc<Entity>, mask: u32) -> Arc<Self> {
        Self::new(mask, Target::Task(Arc::clone(entity)))
    }

    /// Calls `notify` when an event of `mask` happens.
    #[must_use]
    pub fn callback(notify: Weak<dyn Notify>, mask: u32) -> Arc<Self> {
        Self::new(mask, Target::Callback(notify))
    }

    fn new(mask: u32, target: Target) -> Arc<Self> {
        Arc::new(Self { mask, fired: AtomicU32::new(0), target })
    }

    /// The events that have happened since the last call; forgets them.
    pub fn take_fired(&self) -> u32 {
        self.fired.swap(0, Ordering::AcqRel)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.target {
            Target::Task(_) => "task",
            Target::Callback(_) => "callback",
        };
        f.debug_struct("Listener").field("mask", &self.mask).field("target", &kind).finish()
    }
}

/// Who waits for something. Whoever makes the condition true calls `notify` afterwards.
#[derive(Debug, Default)]
pub struct WaitQueue {
    listeners: Mutex<Vec<Arc<Listener>>>,
}

/// Empty when all is at rest, but for callbacks, whose owners register again.
impl state::Save for WaitQueue {
    fn save(&self, _: &mut state::Writer<'_>) -> state::Result<()> {
        Ok(())
    }
}

impl state::Load for WaitQueue {
    fn load(_: &mut state::Reader<'_>) -> state::Result<Self> {
        Ok(Self::new())
    }
}

impl state::Schema for WaitQueue {
    const NAME: &'static str = "WaitQueue";
}

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { listeners: Mutex::new(Vec::new()) }
    }

    /// Adds a listener at the end.
    pub fn add(&self, listener: &Arc<Listener>) {
        self.listeners.lock().push(Arc::clone(listener));
    }

    /// Removes a listener; nothing happens if it is not there.
    pub fn remove(&self, listener: &Arc<Listener>) {
        let mut listeners = self.listeners.lock();
        let at = listeners.iter().position(|other| Arc::ptr_eq(other, listener));
        // Dropped after the lock is free.
        let removed = at.map(|at| listeners.remove(at));
        drop(listeners);
        drop(removed);
    }

    /// Tells every listener whose mask has one of `events`.
    pub fn notify(&self, events: u32) {
        self.tell(events, usize::MAX);
    }

    /// Tells every such callback, and the first such task that has not been told yet.
    pub fn notify_one(&self, events: u32) {
        self.tell(events, 1);
    }

    /// True if nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.lock().is_empty()
    }

    /// Tells all callbacks and up to `tasks` tasks. A callback may use this queue or others, so
    /// it is called without the lock.
    fn tell(&self, events: u32, mut tasks: usize) {
        let mut callbacks = Vec::new();
        for listener in self.listeners.lock().iter().filter(|one| one.mask & events != 0) {
            let told = || listener.fired.fetch_or(events & listener.mask, Ordering::AcqRel);
            match &listener.target {
                Target::Task(_) if tasks == 0 => {}
                Target::Task(entity) => {
                    // One that was told before will look at its condition in any case.
                    if told() == 0 || tasks == usize::MAX {
                        entity.wake();
                        tasks = tasks.saturating_sub(usize::from(tasks != usize::MAX));
                    }
                }
                Target::Callback(callback) => {
                    told();
                    callbacks.push((Weak::clone(callback), events & listener.mask));
                }
            }
        }
        for (callback, events) in callbacks {
            if let Some(callback) = callback.upgrade() {
                callback.notify(events);
            }
        }
    }
}

/// Waits, interruptibly, until `condition` gives a value, asking again whenever one of `queues`
/// has an event of `mask`, at the latest at `deadline_ns`.
///
/// # Errors
///
/// What ended the wait, if it is not the condition.
#[track_caller]
pub fn wait_until<T>(
    fiber: &Fiber<'_>,
    queues: &[&WaitQueue],
    mask: u32,
    deadline_ns: Option<u64>,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, Wake> {
    if let Some(value) = condition() {
        return Ok(value);
    }
    let registration = Registration { queues, listener: Listener::task(fiber.entity(), mask) };
    for queue in queues {
        queue.add(&registration.listener);
    }
    let mut ended = Wake::Woken;
    loop {
        // First this, then the condition: what happens in between wakes again.
        registration.listener.take_fired();
        if let Some(value) = condition() {
            return Ok(value);
        }
        if ended != Wake::Woken {
            return Err(ended);
        }
        ended = fiber.block(Wait { deadline_ns, interruptible: true });
    }
}

/// Takes a listener out of its queues however the wait ends.
struct Registration<'a> {
    queues: &'a [&'a WaitQueue],
    listener: Arc<Listener>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        for queue in self.queues {
            queue.remove(&self.listener);
        }
        // Told after the last look at the condition: by `notify_one`, this was for somebody who
        // still waits.
        let missed = self.listener.take_fired();
        if missed != 0 {
            for queue in self.queues {
                queue.notify_one(missed);
            }
        }
    }
}
