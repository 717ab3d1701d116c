//! Pages of a file that lies in memory.

use std::sync::Arc;

use abi::Errno;

use crate::{Charge, Kind, MapError, MappingHandle, Memory, Span, Translation};

/// Sparse file content in the memory object: the body of tmpfs files, memfds and shared anonymous
/// memory, and the cache of files that lie elsewhere. Holes read as zero and cost nothing.
#[derive(Debug)]
pub struct PageCache {
    memory: Arc<Memory>,
    charge: Arc<Charge>,
    kind: Kind,
}

impl PageCache {
    /// An empty one.
    #[must_use]
    pub fn new(memory: &Arc<Memory>, charge: &Arc<Charge>, kind: Kind) -> Self {
        Self { memory: Arc::clone(memory), charge: Arc::clone(charge), kind }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        0
    }

    /// Bytes of memory in use (`st_blocks` * 512).
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        0
    }

    /// Reads at `offset`; fewer bytes than asked only at the end.
    #[must_use]
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> usize {
        let _ = (offset, to);
        0
    }

    /// Writes at `offset`, growing the size; fewer bytes than given only if memory runs out
    /// part-way.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if not one byte could be written, `EFBIG` beyond the largest offset.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        let _ = (offset, from, &self.memory, &self.charge, self.kind);
        Err(Errno::ENOSYS)
    }

    /// Sets the size; what lies beyond is gone from all mappings when this returns.
    ///
    /// # Errors
    ///
    /// `EFBIG` beyond the largest offset.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        let _ = size;
        Err(Errno::ENOSYS)
    }

    /// Makes `range` read as zero and gives its whole pages back; the size stays.
    pub fn punch_hole(&self, range: Span) {
        let _ = range;
    }

    /// Gives memory to the holes of `range` (fallocate); the size stays.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when memory runs out (what was allocated stays).
    pub fn allocate(&self, range: Span) -> Result<(), Errno> {
        let _ = range;
        Err(Errno::ENOSYS)
    }

    /// The first byte at or after `offset` that holds data (`SEEK_DATA`); `None`: none before
    /// the end.
    #[must_use]
    pub fn seek_data(&self, offset: u64) -> Option<u64> {
        let _ = offset;
        None
    }

    /// The first byte at or after `offset` that is in a hole (`SEEK_HOLE`), at most the end;
    /// `None`: `offset` lies beyond the end.
    #[must_use]
    pub fn seek_hole(&self, offset: u64) -> Option<u64> {
        let _ = offset;
        None
    }

    /// For [`crate::Mappable::translate`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        let _ = (offset, len, write);
        Err(MapError::NoMemory)
    }

    /// For [`crate::Mappable::add_mapping`].
    pub fn add_mapping(&self, mapping: &MappingHandle) {
        let _ = mapping;
    }

    /// For [`crate::Mappable::remove_mapping`].
    pub fn remove_mapping(&self, mapping: &MappingHandle) {
        let _ = mapping;
    }

    /// How many shared mappings may write to it (file seals ask).
    #[must_use]
    pub fn writable_mappings(&self) -> usize {
        0
    }
}
