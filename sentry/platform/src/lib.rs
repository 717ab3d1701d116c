#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod error;
mod space;

pub use context::{Access, Context, Exit, UserState};
pub use error::PlatformError;
pub use space::{AddressSpace, Backing, Change, Protection};

use std::sync::Arc;

/// A way to run application code.
pub trait Platform: Send + Sync + std::fmt::Debug {
    /// The name as `--platform` spells it.
    fn name(&self) -> &'static str;

    /// Makes an empty address space.
    ///
    /// # Errors
    ///
    /// When the host refuses what it needs.
    fn new_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;

    /// Makes the context of executor `executor`. Called once per executor, on its host thread;
    /// the context is used on that thread only, and the thread must not end before the platform
    /// is done with: that may end the spaces in which it ran.
    ///
    /// # Errors
    ///
    /// When the host refuses what it needs.
    fn context(&self, executor: usize) -> Result<Box<dyn Context>, PlatformError>;

    /// Makes the present [`Context::switch`] of `executor` return [`Exit::Interrupted`], or the
    /// next one if none runs. Any thread may call it at any time; it never waits and is never
    /// lost. Several kicks may merge into one.
    fn kick(&self, executor: usize);

    /// The CPU of the host on which executor `executor` stays, with all application code that it
    /// runs; `None` if it may move.
    fn cpu_of(&self, executor: usize) -> Option<usize> {
        let _ = executor;
        None
    }

    /// Bytes of an FPU image ([`abi::FpuState`]).
    fn fpu_size_bytes(&self) -> usize;

    /// True if [`Exit::Fault`] always names the exact access.
    fn exact_faults(&self) -> bool;
}
