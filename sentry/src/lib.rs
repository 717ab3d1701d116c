#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

mod boot;
mod checkpoint;
mod config;
mod home;
mod inspect;
mod job;
mod leaks;
mod mounts;
mod places;
mod process;
mod sentry;
mod stdio;
mod terminal;

pub use config::{Config, LoadConfig, Mount, MountKind, Overlay, RootFs, Stdio};
pub use sentry::Sentry;

/// What the sandbox shows of a system call, for `runsc help syscalls`.
pub mod syscall_table {
    pub use syscalls::{Entry, Support, table::entries};
}

/// Host calls of the Sentry's rooms, for the filter.
pub mod filters {
    pub use host::filters::CALLS;
}
