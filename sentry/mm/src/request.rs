//! What callers ask of a [`crate::MemoryManager`].

use std::sync::Arc;

use abi::UserAddr;
use platform::Protection;

use crate::Mappable;

/// How binding the address of a [`MapRequest`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fixed {
    /// A hint, used if it is free.
    #[default]
    No,
    /// Binding; what is there is replaced (`MAP_FIXED`).
    Replace,
    /// Binding; fails with `EEXIST` if something is there (`MAP_FIXED_NOREPLACE`).
    NoReplace,
}

/// What to map.
#[derive(Clone, Debug, Default)]
pub enum What {
    /// Fresh zero pages.
    #[default]
    Anonymous,
    /// Something with pages.
    File {
        /// It.
        mappable: Arc<dyn Mappable>,
        /// From this offset, page-aligned.
        offset: u64,
    },
}

/// One call of mmap(2), or one segment of a program.
#[derive(Clone, Debug, Default)]
pub struct MapRequest {
    /// Where; 0 means anywhere.
    pub addr: UserAddr,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// Rights.
    pub protection: Protection,
    /// The most that mprotect may give later. What the file allows.
    pub max_protection: Protection,
    /// How binding `addr` is.
    pub fixed: Fixed,
    /// Writes reach the object and all who map it.
    pub shared: bool,
    /// What.
    pub what: What,
    /// A stack: it grows towards lower addresses on faults.
    pub grows_down: bool,
    /// Counted as locked (`MAP_LOCKED`), and populated.
    pub locked: bool,
    /// Fill in all pages now (`MAP_POPULATE`).
    pub populate: bool,
    /// Not refused for its size (`MAP_NORESERVE`).
    pub no_reserve: bool,
    /// Only below 2 GiB (`MAP_32BIT`).
    pub low: bool,
    /// What `/proc/PID/maps` calls it: `[stack]`, `[heap]`, `[vdso]`.
    pub name: Option<&'static str>,
}

/// All three rights.
pub(crate) const ALL: Protection = Protection { read: true, write: true, execute: true };

impl MapRequest {
    /// Private anonymous memory of `len` bytes anywhere.
    #[must_use]
    pub fn anonymous(len: u64, protection: Protection) -> Self {
        Self { len, protection, max_protection: ALL, ..Self::default() }
    }

    /// A private mapping of `mappable` from `offset` anywhere.
    #[must_use]
    pub fn file(
        mappable: Arc<dyn Mappable>,
        offset: u64,
        len: u64,
        protection: Protection,
    ) -> Self {
        let what = What::File { mappable, offset };
        Self { what, ..Self::anonymous(len, protection) }
    }

    /// The same at exactly `addr`, replacing what is there.
    #[must_use]
    pub fn at(self, addr: UserAddr) -> Self {
        Self { addr, fixed: Fixed::Replace, ..self }
    }

    /// The same, shared.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The same, with a name.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }
}

/// Advice of madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the advice of its name in madvise(2)")]
pub enum Advice {
    Normal,
    Random,
    Sequential,
    WillNeed,
    DontNeed,
    Free,
    Remove,
    DontFork,
    DoFork,
    WipeOnFork,
    KeepOnFork,
    DontDump,
    DoDump,
    HugePage,
    NoHugePage,
    Cold,
    PageOut,
    PopulateRead,
    PopulateWrite,
}

/// Flags of mremap(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemapFlags {
    /// It may be moved (`MREMAP_MAYMOVE`).
    pub may_move: bool,
    /// It is to be moved exactly there (`MREMAP_FIXED`).
    pub fixed: Option<UserAddr>,
    /// The old range stays mapped, empty (`MREMAP_DONTUNMAP`).
    pub dont_unmap: bool,
}

/// Limits of setrlimit(2), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct Limits {
    /// `RLIMIT_AS`.
    pub address_space: u64,
    /// `RLIMIT_DATA`.
    pub data: u64,
    /// `RLIMIT_STACK`.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`; `u64::MAX` for a holder of `CAP_IPC_LOCK`.
    pub locked: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { address_space: u64::MAX, data: u64::MAX, stack: 8 << 20, locked: 8 << 20 }
    }
}

/// Where things go, chosen at exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct Layout {
    /// Mappings are placed below this, downwards.
    pub mmap_base: UserAddr,
    /// Not below this, unless asked for.
    pub mmap_low: UserAddr,
}

impl Layout {
    /// The layout for a stack of at most `stack_bytes`, whose top lies `stack_random` bytes below
    /// the end of the application's addresses: as Linux (arch/x86/mm/mmap.c), the gap for the
    /// stack is clamped to 128 MiB and five sixths of all addresses, then `mmap_random` is kept
    /// free, too. Both random numbers come from the caller; they are rounded down to pages.
    #[must_use]
    pub fn top_down(stack_bytes: u64, stack_random: u64, mmap_random: u64) -> Self {
        let top = abi::USER_MAX.get();
        let gap = stack_bytes
            .saturating_add(crate::STACK_GUARD_BYTES)
            .saturating_add(stack_random)
            .clamp(128 << 20, top / 6 * 5);
        let base = (top - gap).saturating_sub(mmap_random.min(1 << 40));
        Self { mmap_base: UserAddr::new(base).page_down(), mmap_low: abi::USER_MIN }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::top_down(8 << 20, 0, 0)
    }
}
