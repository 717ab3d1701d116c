//! Ranges of plain offsets: file offsets and offsets into the memory object.

use abi::PAGE_SIZE;

/// The offsets from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub struct Span {
    /// The first offset.
    pub start: u64,
    /// The first offset beyond.
    pub end: u64,
}

impl Span {
    /// Makes a span; an `end` below `start` gives an empty one.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// The `len` offsets from `start`; cut at the largest number.
    #[must_use]
    pub const fn from_len(start: u64, len: u64) -> Self {
        Self { start, end: start.saturating_add(len) }
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True if it holds no offset.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whole pages in it.
    #[must_use]
    pub const fn pages(self) -> u64 {
        self.len() / PAGE_SIZE
    }

    /// True if `at` lies in it.
    #[must_use]
    pub const fn contains(self, at: u64) -> bool {
        self.start <= at && at < self.end
    }

    /// True if both share an offset.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both share (may be empty).
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The page that holds `at`.
    #[must_use]
    pub const fn page(at: u64) -> Self {
        let start = page_down(at);
        Self::from_len(start, PAGE_SIZE)
    }

    /// The starts of its pages.
    pub fn page_starts(self) -> impl Iterator<Item = u64> {
        (0..self.pages()).map(move |page| self.start + page * PAGE_SIZE)
    }
}

/// The start of the page that holds `at`.
pub(crate) const fn page_down(at: u64) -> u64 {
    at & !(PAGE_SIZE - 1)
}

/// `at` if a page begins there, else the start of the next page; `None` on overflow.
pub(crate) const fn page_up(at: u64) -> Option<u64> {
    match at.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(page_down(sum)),
        None => None,
    }
}
