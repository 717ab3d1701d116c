//! Wait queues.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Entity, Fiber, Mutex, Wake};

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

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { listeners: Mutex::new(Vec::new()) }
    }

    /// Adds a listener at the end.
    pub fn add(&self, _listener: &Arc<Listener>) {
        todo!()
    }

    /// Removes a listener; nothing happens if it is not there.
    pub fn remove(&self, _listener: &Arc<Listener>) {
        todo!()
    }

    /// Tells every listener whose mask has one of `events`.
    pub fn notify(&self, _events: u32) {
        todo!()
    }

    /// Tells every such callback, and the first such task that has not been told yet.
    pub fn notify_one(&self, _events: u32) {
        todo!()
    }

    /// True if nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.lock().is_empty()
    }
}

/// Waits, interruptibly, until `condition` gives a value, asking again whenever one of `queues`
/// has an event of `mask`, at the latest at `deadline_ns`.
///
/// # Errors
///
/// What ended the wait, if it is not the condition.
pub fn wait_until<T>(
    _fiber: &Fiber<'_>,
    _queues: &[&WaitQueue],
    _mask: u32,
    _deadline_ns: Option<u64>,
    _condition: impl FnMut() -> Option<T>,
) -> Result<T, Wake> {
    todo!()
}
