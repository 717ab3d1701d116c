//! What is there: the pages that an address space holds.

use abi::{PAGE_SIZE, UserAddr};
use platform::{Backing, Protection};

use crate::{
    Kind, Span,
    segments::{Piece, Segments},
    vma::Vma,
};

/// Pages that are present, with the rights that the platform's space gives now.
#[derive(Clone, Debug)]
pub(crate) struct Pma {
    pub(crate) backing: Backing,
    /// [`Protection::NONE`]: held, but not mapped in the space.
    pub(crate) protection: Protection,
    /// `Anonymous`: private pages, held by this address space and its relatives only.
    pub(crate) kind: Kind,
    /// What was translated may be mapped writable (shared mappings).
    pub(crate) writable: bool,
}

impl Pma {
    /// Fresh private pages at `frames`.
    pub(crate) fn own(frames: Span, protection: Protection) -> Self {
        let backing = Backing::Memory { offset: frames.start };
        Self { backing, protection, kind: Kind::Anonymous, writable: false }
    }

    /// True for private pages.
    pub(crate) fn is_own(&self) -> bool {
        self.kind == Kind::Anonymous
    }

    pub(crate) fn is_mapped(&self) -> bool {
        self.protection != Protection::NONE
    }

    /// The `len` bytes of the memory object that this refers to.
    pub(crate) fn frames(&self, len: u64) -> Option<Span> {
        match self.backing {
            Backing::Memory { offset } => Some(Span::from_len(offset, len)),
            Backing::File { .. } => None,
        }
    }

    /// The rights to map this with in `vma`; `exclusive`: nobody else holds the (private) pages.
    pub(crate) fn rights(&self, vma: &Vma, exclusive: bool) -> Protection {
        let Protection { write, execute, .. } = vma.protection;
        let may_write = if vma.shared { self.writable } else { self.is_own() && exclusive };
        // On x86 what can be written or executed can be read (SDM vol. 3, 4.6).
        Protection { read: vma.is_accessible(), write: write && may_write, execute }
    }
}

impl Piece for Pma {
    fn skip(&self, bytes: u64) -> Self {
        Self { backing: advance(&self.backing, bytes), ..self.clone() }
    }

    fn joins(&self, len: u64, next: &Self) -> bool {
        self.protection == next.protection
            && self.kind == next.kind
            && self.writable == next.writable
            && continues(&self.backing, len, &next.backing)
    }
}

/// The backing `bytes` further on.
pub(crate) fn advance(backing: &Backing, bytes: u64) -> Backing {
    match backing {
        Backing::Memory { offset } => Backing::Memory { offset: offset.saturating_add(bytes) },
        Backing::File { file, offset } => {
            Backing::File { file: file.clone(), offset: offset.saturating_add(bytes) }
        }
    }
}

/// True if `next` is what lies `len` bytes behind `backing`.
pub(crate) fn continues(backing: &Backing, len: u64, next: &Backing) -> bool {
    match (backing, next) {
        (Backing::Memory { offset }, Backing::Memory { offset: next }) => offset + len == *next,
        (Backing::File { file, offset }, Backing::File { file: next_file, offset: next }) => {
            std::sync::Arc::ptr_eq(file, next_file) && offset.checked_add(len) == Some(*next)
        }
        _ => false,
    }
}

/// The present pages of an address space.
#[derive(Debug, Default)]
pub(crate) struct PmaSet {
    segments: Segments<Pma>,
    resident: Resident,
    peak: u64,
}

/// Present bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resident {
    pub(crate) anonymous: u64,
    pub(crate) file: u64,
    pub(crate) shmem: u64,
}

impl Resident {
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Anonymous => &mut self.anonymous,
            Kind::Shmem => &mut self.shmem,
            Kind::File | Kind::Kernel => &mut self.file,
        }
    }

    pub(crate) fn sum(self) -> u64 {
        self.anonymous + self.file + self.shmem
    }
}

impl PmaSet {
    /// The pages, to be looked at.
    pub(crate) fn segments(&self) -> &Segments<Pma> {
        &self.segments
    }

    pub(crate) fn resident(&self) -> Resident {
        self.resident
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    pub(crate) fn set_peak(&mut self, peak: u64) {
        self.peak = self.peak.max(peak);
    }

    pub(crate) fn insert(&mut self, span: Span, pma: Pma) {
        *self.resident.of(pma.kind) += span.len();
        self.peak = self.peak.max(self.resident.sum());
        self.segments.insert(span, pma);
    }

    pub(crate) fn take(&mut self, span: Span) -> Vec<(Span, Pma)> {
        let taken = self.segments.take(span);
        taken.iter().for_each(|(part, pma)| *self.resident.of(pma.kind) -= part.len());
        taken
    }

    /// Notes the rights that the space gives now.
    pub(crate) fn set_rights(&mut self, span: Span, protection: Protection) {
        self.segments.update(span, |_, pma| pma.protection = protection);
    }

    /// Bytes of private pages directly before `at`, if any.
    pub(crate) fn own_before(&self, at: u64) -> u64 {
        let before = at.checked_sub(PAGE_SIZE).and_then(|at| self.segments.at(at));
        before.filter(|(_, pma)| pma.is_own()).map_or(0, |(span, _)| span.len())
    }
}

/// The addresses of `span`.
pub(crate) fn addresses(span: Span) -> abi::AddrRange {
    abi::AddrRange::new(UserAddr::new(span.start), UserAddr::new(span.end))
}
