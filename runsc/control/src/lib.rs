#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod message;
mod process;
mod report;
mod startup;

pub use message::{
    Command, ProcessEntry, Reply, Request, RunState, Target, VERSION, decode, encode,
};
pub use process::{Capabilities, Process, Rlimit, WindowSize};
pub use report::Report;
pub use startup::Startup;
