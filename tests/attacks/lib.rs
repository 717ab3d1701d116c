#![doc = include_str!("README.md")]
#![expect(unsafe_code, reason = "plays the debugger: ptrace has no safe wrapper")]

mod filter;
mod names;

pub use filter::{Instruction, allowed, installed};
pub use names::name;
