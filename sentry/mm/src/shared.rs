//! Memory that several address spaces share.

use std::sync::Arc;

use crate::{
    Charge, Identity, Kind, MapError, Mappable, MappingHandle, Memory, PageCache, Span, Translation,
};

/// Memory without a file: shared anonymous mappings, memfd, System V shared memory.
#[derive(Debug, state::Save, state::Load)]
pub struct SharedMemory {
    cache: PageCache,
    identity: Identity,
    name: String,
}

/// The device number of memory without a file, as Linux's internal tmpfs has it (0:1).
const SHARED_DEVICE: u64 = 1;

impl SharedMemory {
    /// Makes memory of `size` bytes under `name` (what `/proc/PID/maps` shows).
    #[must_use]
    pub fn new(memory: &Arc<Memory>, charge: &Arc<Charge>, size: u64, name: String) -> Arc<Self> {
        let cache = PageCache::new(memory, charge, Kind::Shmem);
        let _ = cache.truncate(size);
        let identity = Identity { dev: SHARED_DEVICE, ino: memory.next_id() };
        Arc::new(Self { cache, identity, name })
    }

    /// Its pages.
    #[must_use]
    pub fn cache(&self) -> &PageCache {
        &self.cache
    }
}

impl Mappable for SharedMemory {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        self.cache.translate(offset, len, write)
    }

    fn add_mapping(&self, mapping: &MappingHandle) {
        self.cache.add_mapping(mapping);
    }

    fn remove_mapping(&self, mapping: &MappingHandle) {
        self.cache.remove_mapping(mapping);
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn punch_hole(&self, range: Span) -> Result<(), abi::Errno> {
        self.cache.punch_hole(range);
        Ok(())
    }

    fn is_shmem(&self) -> bool {
        true
    }
}
