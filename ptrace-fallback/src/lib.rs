#![doc = include_str!("../README.md")]
#![expect(unsafe_code, reason = "room 4 of the unsafe list: ptrace, fork, shared order pages")]

#[cfg(test)]
mod attacks;
mod batch;
mod call;
mod carrier;
mod context;
mod copy;
mod cpu;
mod exits;
mod filter;
pub mod filters;
mod fpu;
mod layout;
mod order;
mod probe;
mod ptrace;
mod service;
mod shadow;
mod space;
mod stub;
mod template;
mod tracee;

pub use ptrace::Ptrace;
