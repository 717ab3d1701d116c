//! What can be mapped into an address space.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Weak},
};

use abi::Errno;
use host::HostFile;
use platform::Backing;

use crate::{MemoryManager, Span};

/// Something with pages: a regular file, a tmpfs file, a memfd, shared anonymous memory, the vDSO.
///
/// `mm` calls [`Mappable::translate`], [`Mappable::add_mapping`] and
/// [`Mappable::remove_mapping`] with the address space locked: they may take the object's own
/// locks, may wait for the host's disk, but never for another task. What has to be waited for is
/// done in [`Mappable::load`].
pub trait Mappable: state::Object + Debug {
    /// Tells what lies behind the page at `offset` (page-aligned), and behind what follows it as
    /// far as it is contiguous, cheap to tell and within `len`. With `write` the page is about to
    /// be written through a shared mapping.
    ///
    /// # Errors
    ///
    /// See [`MapError`].
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError>;

    /// Fetches what [`Mappable::translate`] called [`MapError::NotLoaded`]. May wait; called
    /// with no lock held.
    ///
    /// # Errors
    ///
    /// See [`MapError`]; `NotLoaded` counts as `Io` here.
    fn load(&self, offset: u64, len: u64) -> Result<(), MapError> {
        let _ = (offset, len);
        Err(MapError::Io)
    }

    /// Remembers an address space that maps pages of this: whatever is taken away later
    /// (truncation, hole punching) is to be announced by [`invalidate_all`].
    /// [`Mappings`] does the book-keeping.
    fn add_mapping(&self, mapping: &MappingHandle);

    /// Forgets it again.
    fn remove_mapping(&self, mapping: &MappingHandle);

    /// Device and inode number: keys of shared futexes and columns of `/proc/PID/maps`.
    fn identity(&self) -> Identity;

    /// The path in `/proc/PID/maps`.
    fn name(&self) -> String;

    /// Writes `range` back to where it came from (msync with `MS_SYNC`). May wait; called with no
    /// lock held.
    ///
    /// # Errors
    ///
    /// What the file says.
    fn msync(&self, range: Span) -> Result<(), Errno> {
        let _ = range;
        Ok(())
    }

    /// Makes a hole (`MADV_REMOVE`). May wait; called with no lock held.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where it can't.
    fn punch_hole(&self, range: Span) -> Result<(), Errno> {
        let _ = range;
        Err(Errno::EOPNOTSUPP)
    }

    /// True for memory without a file behind it (counted as `RssShmem`).
    fn is_shmem(&self) -> bool {
        false
    }
}

/// Device and inode number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, state::Save, state::Load,
)]
pub struct Identity {
    /// The device, encoded as `st_dev`.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

/// What lies behind a range of a [`Mappable`].
#[derive(Clone, Debug)]
pub struct Translation {
    /// The backing of the first byte; the rest follows contiguously.
    pub backing: Backing,
    /// For how many bytes: whole pages, at least one.
    pub len: u64,
    /// Whether it may be mapped writable without asking again with `write`.
    pub writable: bool,
}

/// Why there is nothing to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The object ends before the page (SIGBUS).
    BeyondEnd,
    /// It could not be read (SIGBUS).
    Io,
    /// No memory is left for it.
    NoMemory,
    /// It has to be fetched first, by [`Mappable::load`].
    NotLoaded,
}

/// What becomes of private copies when file pages go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// They stay: hole punching.
    Keep,
    /// They go too: truncation (as Linux does: they lie beyond the end now).
    Drop,
}

/// One mapping of a [`Mappable`] by one address space, however often it was split since.
#[derive(Clone, Debug, state::Save, state::Load)]
pub struct MappingHandle {
    pub(crate) mm: Weak<MemoryManager>,
    pub(crate) id: u64,
    pub(crate) may_write: bool,
}

impl MappingHandle {
    /// Takes the pages of `file_range` out of the address space. When it returns, no application
    /// can reach what lay behind them. Must be called with no lock of the mappable held.
    pub fn invalidate(&self, file_range: Span, copies: Copies) {
        if let Some(mm) = self.mm.upgrade() {
            mm.invalidate(self.id, file_range, copies);
        }
    }

    /// True if this is a shared mapping that is, or may be made, writable (file seals ask).
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.may_write
    }

    /// A number that no other mapping of this sandbox has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// The mappings of one [`Mappable`].
#[derive(Clone, Debug, Default, state::Save, state::Load)]
pub struct Mappings {
    handles: BTreeMap<u64, MappingHandle>,
}

impl Mappings {
    /// Remembers a mapping.
    pub fn add(&mut self, mapping: &MappingHandle) {
        self.handles.insert(mapping.id, mapping.clone());
    }

    /// Forgets it.
    pub fn remove(&mut self, mapping: &MappingHandle) {
        self.handles.remove(&mapping.id);
    }

    /// How many shared mappings may write.
    #[must_use]
    pub fn writable(&self) -> usize {
        self.handles.values().filter(|handle| handle.may_write).count()
    }

    /// True if nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// A copy for [`invalidate_all`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<MappingHandle> {
        self.handles.values().cloned().collect()
    }
}

/// Takes the pages of `file_range` out of all address spaces. `mappings` tells who maps them now
/// ([`Mappings::snapshot`] under the lock around it); it is asked until nobody new turns up, since
/// a process may fork, pages and all, while its parent is still to be told. To be called after
/// [`Mappable::translate`] has ceased to hand out the pages, with no lock held.
pub fn invalidate_all(mappings: impl Fn() -> Vec<MappingHandle>, file_range: Span, copies: Copies) {
    let mut told = BTreeSet::new();
    loop {
        let mut new = mappings();
        new.retain(|mapping| told.insert(mapping.id));
        if new.is_empty() {
            return;
        }
        new.iter().for_each(|mapping| mapping.invalidate(file_range, copies));
    }
}

/// Translates an offset of a file that a donated host file stands for: the whole of `len` at once,
/// because one order maps a large range as cheaply as a page. Asks the host for the size.
///
/// # Errors
///
/// [`MapError::BeyondEnd`], or `Io` if the host refuses.
pub fn translate_host_file(
    file: &Arc<HostFile>,
    offset: u64,
    len: u64,
) -> Result<Translation, MapError> {
    let size = file.size().map_err(|_| MapError::Io)?;
    let end = crate::span::page_up(size).unwrap_or(u64::MAX);
    if offset >= end {
        return Err(MapError::BeyondEnd);
    }
    Ok(Translation {
        backing: Backing::File { file: Arc::clone(file), offset },
        len: len.min(end - offset),
        writable: file.is_writable(),
    })
}
