#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anon;
mod args;
mod creds;
mod fd;
mod futex;
mod lock;
mod memory;
mod names;
mod path;
mod poll;
mod process;
mod signal;
mod socket;
pub mod strace;
mod system;
pub mod table;
mod time;
mod timer;
mod transfer;

pub use args::Args;
pub use table::{Entry, Support, Table};
