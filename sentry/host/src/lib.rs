//! All host calls that the Sentry makes (room 3).
//!
//! # Rules
//!
//! 1. Every function says which host call it makes and whether it can wait.
//! 2. No reference (`&`, `&mut`) to memory that an application can write is ever made: access to
//!    the memory object is by volatile copies and atomics only.
//! 3. What comes from outside (a donated file) may change or shrink at any moment.
#![expect(unsafe_code, reason = "room 3 of the unsafe list: host calls and shared memory")]

pub mod clock;
mod file;
mod memory;
mod random;
pub mod thread;

pub use file::HostFile;
pub use memory::MemoryObject;
pub use random::random;
