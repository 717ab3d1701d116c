//! What `/proc` tells about an address space.

use abi::AddrRange;
use platform::Protection;

use crate::Identity;

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
