//! System calls: from number and registers to the kernel's objects.
//!
//! One module per family; [`table::TABLE`] has one line per call. A handler copies what the caller
//! points to once, checks it, and works on the copy.
#![forbid(unsafe_code)]

mod args;
mod fd;
mod memory;
mod names;
mod path;
mod process;
mod signal;
pub mod strace;
pub mod table;

pub use args::Args;
pub use table::{Entry, Support, Table};
