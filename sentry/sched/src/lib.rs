//! Executors, fibers, waiting, locks and timers.
#![forbid(unsafe_code)]

mod entity;
mod fiber;
mod mutex;
mod rwlock;
mod sched;
mod timers;
mod wait;

pub use entity::{Body, Entity, Leave};
pub use fiber::{Boundary, Fiber, Wait, Wake};
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use sched::{Kicker, Sched, StopGuard};
pub use timers::{Fire, TimerId, Timers};
pub use wait::{Listener, Notify, WaitQueue, wait_until};
