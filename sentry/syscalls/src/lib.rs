#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anon;
mod args;
mod attributes;
mod creds;
mod fd;
mod futex;
mod listing;
mod lock;
mod memory;
mod names;
mod path;
mod poll;
mod prctl;
mod process;
mod read_write;
mod schedule;
mod signal;
mod socket;
mod stat;
pub mod strace;
mod system;
pub mod table;
mod time;
mod timer;
mod transfer;

pub use args::Args;
pub use table::{Entry, Support, Table};
