#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod base;
pub mod pipefs;
#[cfg(test)]
mod testing;
pub mod tmpfs;

pub use base::{Device, DeviceKind, Devices, MemoryFile, Shared, pipe::PipeEnd};
