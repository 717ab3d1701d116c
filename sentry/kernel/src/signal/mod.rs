//! Signals: actions, pending queues, sending, delivery, frames.

mod actions;
mod deliver;
mod frame;
mod pending;
mod send;

pub use actions::SignalActions;
pub use frame::AltStack;
pub use pending::Pending;
pub use send::Sender;

pub(crate) use deliver::force;
