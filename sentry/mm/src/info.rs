//! What `/proc` tells about an address space.

use abi::AddrRange;
use platform::Protection;

use crate::{Identity, MemoryManager, Span, manager::State, pma::addresses, vma::Vma};

/// One line of `/proc/PID/maps`, with what `smaps` adds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in smaps")]
pub struct MapInfo {
    /// Where.
    pub range: AddrRange,
    /// Rights, as asked.
    pub protection: Protection,
    /// The most that mprotect may give.
    pub max_protection: Protection,
    /// Shared mapping.
    pub shared: bool,
    /// Offset in the object; 0 for anonymous memory.
    pub offset: u64,
    /// Device and inode; 0 for anonymous memory.
    pub identity: Identity,
    /// Path or `[name]`; may be empty.
    pub name: String,
    /// Bytes present.
    pub resident: u64,
    /// Bytes of them that are private copies or private anonymous memory.
    pub anonymous: u64,
    /// Counted as locked.
    pub locked: bool,
    /// A stack.
    pub grows_down: bool,
    /// Not inherited by children.
    pub dont_fork: bool,
    /// Zero in children.
    pub wipe_on_fork: bool,
    /// Left out of core files.
    pub dont_dump: bool,
    /// Made with `MAP_NORESERVE`.
    pub no_reserve: bool,
}

/// The sums that `/proc/PID/statm` and `status` show and the limits refer to, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All mappings.
    pub total: u64,
    /// Private writable mappings that are no stack (`RLIMIT_DATA`).
    pub data: u64,
    /// Stacks.
    pub stack: u64,
    /// Executable mappings that are not writable.
    pub text: u64,
    /// Locked.
    pub locked: u64,
    /// Present: private pages.
    pub resident_anonymous: u64,
    /// Present: pages of files.
    pub resident_file: u64,
    /// Present: pages of shared memory.
    pub resident_shmem: u64,
    /// The most that was present at one time.
    pub peak_resident: u64,
    /// The most that was mapped at one time.
    pub peak_total: u64,
}

impl Usage {
    /// All that is present (`VmRSS`).
    #[must_use]
    pub const fn resident(&self) -> u64 {
        self.resident_anonymous + self.resident_file + self.resident_shmem
    }
}

impl MemoryManager {
    /// All mappings, in order of their addresses.
    #[must_use]
    pub fn maps(&self) -> Vec<MapInfo> {
        let areas: Vec<(Span, Vma, u64, u64)> = {
            let state = self.state().lock();
            let areas = state.vmas.segments().iter();
            areas
                .map(|(area, vma)| {
                    let (resident, anonymous) = present(&state, area);
                    (area, vma.clone(), resident, anonymous)
                })
                .collect()
        };
        // Objects are asked for their names without the lock: they may have to take their own.
        areas
            .into_iter()
            .map(|(area, vma, resident, anonymous)| MapInfo {
                resident,
                anonymous,
                ..describe(area, &vma)
            })
            .collect()
    }

    /// The sums.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.state().lock();
        let (sums, resident) = (state.vmas.sums(), state.pmas.resident());
        Usage {
            total: sums.total,
            data: sums.data,
            stack: sums.stack,
            text: sums.text,
            locked: sums.locked,
            resident_anonymous: resident.anonymous,
            resident_file: resident.file,
            resident_shmem: resident.shmem,
            peak_resident: state.pmas.peak(),
            peak_total: state.vmas.peak_total(),
        }
    }
}

fn present(state: &State, area: Span) -> (u64, u64) {
    let parts = state.pmas.segments().overlapping(area);
    parts.fold((0, 0), |(resident, anonymous), (span, pma)| {
        let len = span.intersect(area).len();
        (resident + len, if pma.is_own() { anonymous + len } else { anonymous })
    })
}

fn describe(area: Span, vma: &Vma) -> MapInfo {
    let mappable = vma.file.as_ref().map(|file| &file.mapped.mappable);
    let name = match (&vma.name, mappable) {
        (Some(name), _) => name.to_string(),
        (None, Some(mappable)) => mappable.name(),
        (None, None) => String::new(),
    };
    MapInfo {
        range: addresses(area),
        protection: vma.protection,
        max_protection: vma.max_protection,
        shared: vma.shared,
        offset: vma.file_offset(area.start, area.start),
        identity: mappable.map_or(Identity::default(), |mappable| mappable.identity()),
        name,
        resident: 0,
        anonymous: 0,
        locked: vma.locked,
        grows_down: vma.grows_down,
        dont_fork: vma.dont_fork,
        wipe_on_fork: vma.wipe_on_fork,
        dont_dump: vma.dont_dump,
        no_reserve: vma.no_reserve,
    }
}
