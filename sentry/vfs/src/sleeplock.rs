//! A lock that may be held while its owner blocks (Linux' sleeping mutex).

use std::sync::atomic::{AtomicBool, Ordering};

use sched::{Fiber, Listener, WaitQueue};

/// The event of the queue.
const RELEASED: u32 = 1;

/// Mutual exclusion between fibers over blocking calls. It guards no data by type: what it
/// guards has locks of its own.
#[derive(Debug, Default)]
pub struct SleepLock {
    held: AtomicBool,
    queue: WaitQueue,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct SleepGuard<'a>(&'a SleepLock);

impl SleepLock {
    /// Takes the lock, waiting without being interruptible.
    pub fn lock(&self, fiber: &Fiber<'_>) -> SleepGuard<'_> {
        if self.try_take() {
            return SleepGuard(self);
        }
        let listener = Listener::task(fiber.entity(), RELEASED);
        while !self.try_take() {
            // Who was told and came too late is to be told again.
            listener.take_fired();
            self.queue.add(&listener);
            if self.held.load(Ordering::SeqCst) {
                fiber.block_through();
            }
            self.queue.remove(&listener);
        }
        SleepGuard(self)
    }

    fn try_take(&self) -> bool {
        self.held.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Drop for SleepGuard<'_> {
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::SeqCst);
        self.0.queue.notify_one(RELEASED);
    }
}
