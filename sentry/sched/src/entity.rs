//! What the scheduler schedules.

use std::{fmt, sync::Arc};

use crate::Fiber;

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
pub struct Entity {}

impl Entity {
    /// Ends the present [`Fiber::block`], or lets the next one return at once. Any thread may call
    /// it; several wakes may merge into one.
    pub fn wake(&self) {
        todo!()
    }

    /// Sets *interrupt pending*: ends an interruptible wait with [`crate::Wake::Interrupted`] and
    /// brings the entity out of application code. Stays set until `clear_interrupt`.
    pub fn interrupt(&self) {
        todo!()
    }

    /// Like `interrupt`, but ends waits that are not interruptible as well.
    pub fn kill(&self) {
        todo!()
    }

    /// Takes *interrupt pending* back (not what `kill` has set).
    pub fn clear_interrupt(&self) {
        todo!()
    }

    /// True if an interrupt is pending.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        todo!()
    }

    /// Nanoseconds spent in application code.
    #[must_use]
    pub fn user_ns(&self) -> u64 {
        todo!()
    }

    /// Nanoseconds spent in the Sentry.
    #[must_use]
    pub fn system_ns(&self) -> u64 {
        todo!()
    }

    /// The executor that runs it, or ran it last.
    #[must_use]
    pub fn executor(&self) -> usize {
        todo!()
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity").finish_non_exhaustive()
    }
}
