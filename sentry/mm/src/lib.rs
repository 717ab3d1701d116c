//! Memory of applications.
#![forbid(unsafe_code)]

mod cache;
mod charge;
mod free;
mod info;
mod manager;
mod mappable;
mod memory;
mod request;
mod segments;
mod shared;
mod span;
mod window;

pub use cache::PageCache;
pub use charge::{Charge, ChargeUsage, Kind};
pub use info::{MapInfo, Usage};
pub use manager::{Fault, FutexKey, MemoryManager};
pub use mappable::{
    Copies, Identity, MapError, Mappable, MappingHandle, Mappings, Translation, translate_host_file,
};
pub use memory::{Frames, Memory};
pub use request::{Advice, Fixed, Layout, Limits, MapRequest, RemapFlags, What};
pub use shared::SharedMemory;
pub use span::Span;

/// What stays free below a stack (Linux's default `stack_guard_gap`: 256 pages).
pub const STACK_GUARD_BYTES: u64 = 256 * abi::PAGE_SIZE;
