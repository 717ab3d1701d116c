//! Contents of a regular file that lies in memory: tmpfs files and memfds.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use abi::Errno;
use mm::{Charge, Identity, Kind, MapError, Mappable, MappingHandle, PageCache, Span, Translation};
use vfs::{Ctx, Dst, SleepLock, Src};

use super::{Shared, read_chunks, write_chunks};

/// `F_SEAL_*` (fcntl(2)).
pub(crate) mod seal {
    pub(crate) const F_SEAL_SEAL: u32 = 0x1;
    pub(crate) const F_SEAL_SHRINK: u32 = 0x2;
    pub(crate) const F_SEAL_GROW: u32 = 0x4;
    pub(crate) const F_SEAL_WRITE: u32 = 0x8;
    pub(crate) const F_SEAL_FUTURE_WRITE: u32 = 0x10;
    pub(crate) const F_SEAL_EXEC: u32 = 0x20;
    /// All of them.
    pub(crate) const ALL: u32 = 0x3f;
}

/// `F_ADD_SEALS` (fcntl(2)).
const F_ADD_SEALS: u32 = 1033;
/// `F_GET_SEALS` (fcntl(2)).
const F_GET_SEALS: u32 = 1034;
/// `FALLOC_FL_KEEP_SIZE` (fallocate(2)).
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE` (fallocate(2)).
const PUNCH_HOLE: u32 = 2;
/// `FALLOC_FL_ZERO_RANGE` (fallocate(2)).
const ZERO_RANGE: u32 = 0x10;
/// Seals that forbid write(2).
const NO_WRITE: u32 = seal::F_SEAL_WRITE | seal::F_SEAL_FUTURE_WRITE;

/// The contents of a regular file that lies in memory.
#[derive(Debug, state::Save, state::Load)]
pub struct MemoryFile {
    cache: PageCache,
    identity: Identity,
    name: String,
    seals: AtomicU32,
    /// Makes each write, and each change of size or seals, one step to the others. A page fault
    /// while copying does not take it.
    #[state(skip)]
    writing: SleepLock,
}

impl MemoryFile {
    /// An empty one that `charge` pays for; `seals` are set from the start.
    pub(crate) fn new(
        shared: &Shared,
        charge: &Arc<Charge>,
        identity: Identity,
        name: String,
        seals: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache: PageCache::new(shared.memory(), charge, Kind::Shmem),
            identity,
            name,
            seals: AtomicU32::new(seals),
            writing: SleepLock::default(),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.cache.size()
    }

    /// Units of 512 bytes in use.
    pub(crate) fn blocks(&self) -> u64 {
        self.cache.resident_bytes() / 512
    }

    pub(crate) fn seals(&self) -> u32 {
        self.seals.load(Ordering::Relaxed)
    }

    fn is_sealed(&self, seals: u32) -> bool {
        self.seals() & seals != 0
    }

    pub(crate) fn read(&self, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        read_chunks(dst, offset, self.size(), |at, to| Ok(self.cache.read_at(at, to)))
    }

    /// Writes at `offset`, or at the end if there is none; returns the count and where it ended.
    pub(crate) fn write(
        &self,
        cx: &Ctx<'_>,
        src: &mut dyn Src,
        offset: Option<u64>,
    ) -> Result<(usize, u64), Errno> {
        let _one_step = self.writing.lock(cx.fiber);
        let start = offset.unwrap_or_else(|| self.size());
        let count = write_chunks(src, start, |at, from| {
            if self.is_sealed(NO_WRITE) {
                return Err(Errno::EPERM);
            }
            self.cache.write_at(at, self.within_seals(at, from)?)
        })?;
        Ok((count, start.saturating_add(count as u64)))
    }

    /// Cuts `from` where it would make a file grow that must not.
    fn within_seals<'b>(&self, at: u64, from: &'b [u8]) -> Result<&'b [u8], Errno> {
        if !self.is_sealed(seal::F_SEAL_GROW) {
            return Ok(from);
        }
        let room = usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX);
        match from.get(..room.min(from.len())) {
            Some(cut) if !cut.is_empty() => Ok(cut),
            _ => Err(Errno::EPERM),
        }
    }

    pub(crate) fn truncate(&self, cx: &Ctx<'_>, size: u64) -> Result<(), Errno> {
        let _one_step = self.writing.lock(cx.fiber);
        let old = self.size();
        let forbidden = match size.cmp(&old) {
            std::cmp::Ordering::Less => seal::F_SEAL_SHRINK,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => seal::F_SEAL_GROW,
        };
        if self.is_sealed(forbidden) {
            return Err(Errno::EPERM);
        }
        self.cache.truncate(size)
    }

    /// fallocate(2).
    pub(crate) fn allocate(
        &self,
        cx: &Ctx<'_>,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        if i64::try_from(end).is_err() {
            return Err(Errno::EFBIG);
        }
        let _one_step = self.writing.lock(cx.fiber);
        let range = Span::new(offset, end);
        if mode == PUNCH_HOLE | KEEP_SIZE {
            if self.is_sealed(NO_WRITE) {
                return Err(Errno::EPERM);
            }
            self.cache.punch_hole(range);
            return Ok(());
        }
        if mode & !(KEEP_SIZE | ZERO_RANGE) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let grows = mode & KEEP_SIZE == 0 && end > self.size();
        let zeroes = mode & ZERO_RANGE != 0;
        if grows && self.is_sealed(seal::F_SEAL_GROW) || zeroes && self.is_sealed(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        if zeroes {
            self.cache.punch_hole(range);
        }
        self.cache.allocate(range)?;
        if grows { self.cache.truncate(end) } else { Ok(()) }
    }

    pub(crate) fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let found = if hole { self.cache.seek_hole(offset) } else { self.cache.seek_data(offset) };
        found.ok_or(Errno::ENXIO)
    }

    /// fcntl(2) commands about seals.
    pub(crate) fn fcntl(&self, cx: &Ctx<'_>, command: u32, arg: u64) -> Result<u64, Errno> {
        match command {
            F_GET_SEALS => Ok(u64::from(self.seals())),
            F_ADD_SEALS => self.add_seals(cx, u32::try_from(arg).map_err(|_| Errno::EINVAL)?),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add_seals(&self, cx: &Ctx<'_>, new: u32) -> Result<u64, Errno> {
        if new & !seal::ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let _one_step = self.writing.lock(cx.fiber);
        if self.is_sealed(seal::F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        let writes = new & seal::F_SEAL_WRITE != 0 && !self.is_sealed(seal::F_SEAL_WRITE);
        if writes && self.cache.writable_mappings() > 0 {
            return Err(Errno::EBUSY);
        }
        self.seals.fetch_or(new, Ordering::Relaxed);
        Ok(0)
    }

    /// For mmap(2).
    pub(crate) fn mappable(self: &Arc<Self>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        if writable && self.is_sealed(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        Ok(Arc::<Self>::clone(self))
    }
}

impl Mappable for MemoryFile {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        let sealed = self.is_sealed(seal::F_SEAL_WRITE);
        if write && sealed {
            return Err(MapError::Io);
        }
        let mut found = self.cache.translate(offset, len, write)?;
        found.writable &= !sealed;
        Ok(found)
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

    fn punch_hole(&self, range: Span) -> Result<(), Errno> {
        if self.is_sealed(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        self.cache.punch_hole(range);
        Ok(())
    }

    fn is_shmem(&self) -> bool {
        true
    }
}
