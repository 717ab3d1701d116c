#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod addr;
pub mod auxv;
mod errno;
pub mod fs;
mod regs;
pub mod signal;
pub mod socket;
mod time;

pub use addr::{AddrRange, PAGE_SIZE, USER_MAX, USER_MIN, UserAddr};
pub use errno::Errno;
pub use regs::{FpuState, Registers};
pub use signal::{SigAction, SigFields, SigInfo, SigSet, Signal};
pub use time::Timespec;
