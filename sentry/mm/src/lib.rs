#![doc = include_str!("../README.md")]
//
// Lock order: State of a MemoryManager (parent before child) -> locks of a Mappable (PageCache)
// -> books of Memory. None is held while a task waits; see README.md.
#![forbid(unsafe_code)]

mod advise;
mod batch;
mod brk;
mod cache;
mod charge;
mod checkpoint;
mod copy;
mod fault;
mod fill;
mod force;
mod fork;
mod free;
mod futex;
mod info;
mod invalidate;
mod manager;
mod map;
mod mappable;
mod memory;
mod mlock;
mod pma;
mod protect;
mod raise;
mod remap;
mod request;
mod segments;
mod shared;
mod span;
#[cfg(test)]
mod tests;
mod vma;
mod window;

pub use cache::PageCache;
pub use charge::{Charge, ChargeUsage, Kind};
pub use fault::Fault;
pub use futex::FutexKey;
pub use info::{MapInfo, Usage};
pub use manager::MemoryManager;
pub use mappable::{
    Copies, Identity, MapError, Mappable, MappingHandle, Mappings, Translation, invalidate_all,
    translate_host_file,
};
pub use memory::{Frames, Memory};
pub use request::{Advice, Fixed, Layout, Limits, MapRequest, RemapFlags, What};
pub use shared::SharedMemory;
pub use span::Span;
pub(crate) use vma::Mapped;

/// What stays free below a stack (Linux's default `stack_guard_gap`: 256 pages).
pub const STACK_GUARD_BYTES: u64 = 256 * abi::PAGE_SIZE;

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    r.object::<Charge>()
        .object::<Memory>()
        .object::<Frames>()
        .object::<MemoryManager>()
        .object::<Mapped>()
        .object::<SharedMemory>()
        .view::<SharedMemory, dyn Mappable>(|weak| weak)
}
