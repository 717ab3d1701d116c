#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod entity;
mod executor;
mod fiber;
mod mutex;
mod queue;
mod run;
mod rwlock;
mod sched;
mod stop;
mod tick;
mod timers;
mod wait;
mod word;
mod workers;

pub use entity::{Body, Entity, Leave};
pub use fiber::{Boundary, Fiber, Wait, Wake};
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use sched::{Kicker, Sched};
pub use stop::StopGuard;
pub use timers::{Fire, TimerId, Timers};
pub use wait::{Listener, Notify, WaitQueue, wait_until};
pub use workers::Workers;

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    r.object::<WaitQueue>()
}
