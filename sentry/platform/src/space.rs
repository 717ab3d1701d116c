//! Address spaces of applications.

use std::{any::Any, fmt, sync::Arc};

use abi::{AddrRange, UserAddr};
use host::HostFile;

use crate::PlatformError;

/// What application code may do with a page. At least one of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub struct Protection {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

impl Protection {
    /// Nothing at all.
    pub const NONE: Self = Self { read: false, write: false, execute: false };
    /// Loads only.
    pub const READ: Self = Self { read: true, write: false, execute: false };
    /// Loads and stores.
    pub const READ_WRITE: Self = Self { read: true, write: true, execute: false };
    /// Loads and instruction fetches.
    pub const READ_EXECUTE: Self = Self { read: true, write: false, execute: true };
}

/// What lies behind a range of addresses.
#[derive(Clone, Debug)]
pub enum Backing {
    /// The memory object, from this offset.
    Memory {
        /// Bytes from the start of the memory object, page-aligned.
        offset: u64,
    },
    /// A donated host file, shared, from this offset. Access beyond its end is a fault with
    /// `beyond_end`.
    File {
        /// The file.
        file: Arc<HostFile>,
        /// Bytes from its start, page-aligned.
        offset: u64,
    },
}

/// One change of an address space. Ranges are page-aligned and lie below [`abi::USER_MAX`].
#[derive(Clone, Debug)]
pub enum Change {
    /// Maps `backing` at `range`, in place of whatever was there.
    Map {
        /// Where.
        range: AddrRange,
        /// What.
        backing: Backing,
        /// With which rights.
        protection: Protection,
    },
    /// Removes what is mapped in `range` (which may be nothing).
    Unmap {
        /// Where.
        range: AddrRange,
    },
    /// Changes the rights of what is mapped in `range`; holes in it stay holes.
    Protect {
        /// Where.
        range: AddrRange,
        /// The new rights.
        protection: Protection,
    },
}

/// The address space of a process as the platform has it: a cache of what `mm` decided, filled
/// on faults. Dropping the last reference destroys it.
pub trait AddressSpace: Send + Sync + fmt::Debug {
    /// Carries out `changes` in order. When it returns, no CPU can use a translation that was
    /// removed or reduced, and no copy is running through one.
    ///
    /// # Errors
    ///
    /// When the host refuses (out of mappings, the space was killed): `mm` then kills the process.
    fn apply(&self, changes: &[Change]) -> Result<(), PlatformError>;

    /// Copies from application memory; returns how many bytes were done before the first byte
    /// that is not mapped readable here (`mm` then handles that as a fault and goes on).
    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> usize;

    /// Copies to application memory; returns how many bytes were done before the first byte that
    /// is not mapped writable here.
    fn copy_out(&self, to: UserAddr, from: &[u8]) -> usize;

    /// Compares and exchanges an aligned word of memory that is mapped writable here. `Ok` holds
    /// the old value, whether it was exchanged (old == `expected`) or not; `None`: not mapped
    /// writable, `mm` handles it as a write fault.
    fn compare_exchange(&self, addr: UserAddr, expected: u32, new: u32) -> Option<u32>;

    /// Loads an aligned word atomically; `None`: not mapped readable.
    fn load(&self, addr: UserAddr) -> Option<u32>;

    /// Makes a space with the same mappings and rights. `mm` has reduced the rights of what is to
    /// be copied on write before.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;

    /// For the platform itself: back to its own type.
    fn as_any(&self) -> &dyn Any;
}
