//! Who pays for memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, state::Save, state::Load)]
pub enum Kind {
    /// Private pages of applications.
    Anonymous,
    /// Page cache of files that lie elsewhere.
    File,
    /// tmpfs, memfd, shared anonymous memory.
    Shmem,
    /// Buffers of the kernel: pipes, sockets.
    Kernel,
}

/// Number of kinds.
const KINDS: usize = 4;

/// The account of one container.
#[derive(Debug, state::Save, state::Load)]
pub struct Charge {
    limit: AtomicU64,
    total: AtomicU64,
    peak: AtomicU64,
    by_kind: [AtomicU64; KINDS],
    parent: Option<Arc<Charge>>,
}

/// A snapshot of a [`Charge`], in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChargeUsage {
    /// All of it.
    pub total: u64,
    /// The most it was.
    pub peak: u64,
    /// Private pages.
    pub anonymous: u64,
    /// Page cache.
    pub file: u64,
    /// Shared memory.
    pub shmem: u64,
    /// Kernel buffers.
    pub kernel: u64,
}

impl Charge {
    /// Opens an account that may hold `limit_bytes` (`u64::MAX`: any number).
    #[must_use]
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self::open(limit_bytes, None))
    }

    /// Opens an account within `parent`, which holds all that this one holds: a part of a
    /// container with a limit of its own (the size of a tmpfs).
    #[must_use]
    pub fn within(parent: &Arc<Self>, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self::open(limit_bytes, Some(Arc::clone(parent))))
    }

    fn open(limit_bytes: u64, parent: Option<Arc<Self>>) -> Self {
        Self {
            limit: AtomicU64::new(limit_bytes),
            total: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            by_kind: [const { AtomicU64::new(0) }; KINDS],
            parent,
        }
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit; what is above it already stays.
    pub fn set_limit(&self, limit_bytes: u64) {
        self.limit.store(limit_bytes, Ordering::Relaxed);
    }

    /// Adds `bytes`; false, and nothing added, if that would exceed the limit. Also for what does
    /// not lie in the memory object (socket and pipe buffers on the Sentry's own heap).
    #[must_use]
    pub fn add(&self, bytes: u64, kind: Kind) -> bool {
        if !self.add_here(bytes, kind) {
            return false;
        }
        let fits = self.parent.as_ref().is_none_or(|parent| parent.add(bytes, kind));
        if !fits {
            self.sub_here(bytes, kind);
        }
        fits
    }

    fn add_here(&self, bytes: u64, kind: Kind) -> bool {
        let limit = self.limit();
        let added = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
            total.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        let Ok(before) = added else { return false };
        self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        self.of(kind).fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Takes `bytes` off again.
    pub fn sub(&self, bytes: u64, kind: Kind) {
        self.sub_here(bytes, kind);
        if let Some(parent) = &self.parent {
            parent.sub(bytes, kind);
        }
    }

    fn sub_here(&self, bytes: u64, kind: Kind) {
        let _ = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
            Some(total.saturating_sub(bytes))
        });
        let _ = self.of(kind).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
            Some(total.saturating_sub(bytes))
        });
    }

    /// What it holds now.
    #[must_use]
    pub fn usage(&self) -> ChargeUsage {
        let of = |kind| self.of(kind).load(Ordering::Relaxed);
        ChargeUsage {
            total: self.total.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            anonymous: of(Kind::Anonymous),
            file: of(Kind::File),
            shmem: of(Kind::Shmem),
            kernel: of(Kind::Kernel),
        }
    }

    fn of(&self, kind: Kind) -> &AtomicU64 {
        let [anonymous, file, shmem, kernel] = &self.by_kind;
        match kind {
            Kind::Anonymous => anonymous,
            Kind::File => file,
            Kind::Shmem => shmem,
            Kind::Kernel => kernel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_beyond_the_limit_is_refused_whole() {
        let charge = Charge::new(10);
        assert!(charge.add(7, Kind::Shmem));
        assert!(!charge.add(4, Kind::Kernel));
        assert!(!charge.add(u64::MAX, Kind::Kernel));
        assert!(charge.add(3, Kind::Kernel));
        charge.sub(7, Kind::Shmem);
        let usage = charge.usage();
        assert_eq!((usage.total, usage.peak, usage.shmem, usage.kernel), (3, 10, 0, 3));
    }

    #[test]
    fn an_account_within_another_is_bound_by_both() {
        let container = Charge::new(10);
        let part = Charge::within(&container, 8);
        assert!(!part.add(9, Kind::Shmem));
        assert!(container.add(5, Kind::Anonymous));
        assert!(!part.add(6, Kind::Shmem));
        assert_eq!(part.usage().total, 0);
        assert!(part.add(4, Kind::Shmem));
        assert_eq!(container.usage().total, 9);
        part.sub(4, Kind::Shmem);
        assert_eq!((part.usage().total, container.usage().total), (0, 5));
    }
}
