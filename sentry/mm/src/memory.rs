//! All application memory of the sandbox.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use abi::Errno;
use host::MemoryObject;

use crate::{Charge, Kind};

/// All application memory of the sandbox.
#[derive(Debug)]
pub struct Memory {
    object: Arc<MemoryObject>,
    limit: AtomicU64,
    next_id: AtomicU64,
}

impl Memory {
    /// Keeps the books of `object`, of which at most `limit_bytes` may be in use.
    #[must_use]
    pub fn new(object: Arc<MemoryObject>, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { object, limit: AtomicU64::new(limit_bytes), next_id: AtomicU64::new(1) })
    }

    /// The memory object.
    #[must_use]
    pub fn object(&self) -> &Arc<MemoryObject> {
        &self.object
    }

    /// Takes `pages` contiguous zeroed pages and charges them.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when a limit is reached.
    pub fn allocate(
        self: &Arc<Self>,
        pages: u64,
        charge: &Arc<Charge>,
        kind: Kind,
    ) -> Result<Frames, Errno> {
        let _ = (pages, charge, kind);
        Err(Errno::ENOSYS)
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        0
    }

    /// The most that may be in use.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Copies out of the object.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        self.object.read(offset, to);
    }

    /// Copies into the object.
    pub fn write(&self, offset: u64, from: &[u8]) {
        self.object.write(offset, from);
    }

    /// Writes zeroes.
    pub fn zero(&self, offset: u64, len: u64) {
        self.object.zero(offset, usize::try_from(len).unwrap_or(0));
    }

    /// A number that was not given out before: address spaces, mappings, inodes of shared memory.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Contiguous pages of the memory object that the holder keeps; given back on drop.
#[derive(Debug)]
pub struct Frames {
    memory: Arc<Memory>,
    offset: u64,
    len: u64,
}

impl Frames {
    /// Where they lie in the memory object.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory they are part of.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}
