//! Addresses of applications.

use core::fmt;

/// Bytes of a page (4 KiB on x86-64).
pub const PAGE_SIZE: u64 = 4096;

/// The lowest address that an application may map, on every platform.
pub const USER_MIN: UserAddr = UserAddr(0x1_0000);

/// The first address that no application may map, on every platform.
pub const USER_MAX: UserAddr = UserAddr(0x7e00_0000_0000);

/// An address in an application's memory. It is never turned into a pointer.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct UserAddr(u64);

impl UserAddr {
    /// The address 0.
    pub const NULL: Self = Self(0);

    /// Wraps a number; any number is allowed, access is what is checked.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self(addr)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True for address 0, which most calls take as "not given".
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Adds `bytes`, or `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Adds `bytes`, wrapping: the result then fails where it is used.
    #[must_use]
    pub const fn wrapping_add(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Subtracts `bytes`, or `None` below 0.
    #[must_use]
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The first byte of the page.
    #[must_use]
    pub const fn page_down(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// The address itself if it begins a page, else the next page; `None` on overflow.
    #[must_use]
    pub const fn page_up(self) -> Option<Self> {
        match self.0.checked_add(PAGE_SIZE - 1) {
            Some(sum) => Some(Self(sum & !(PAGE_SIZE - 1))),
            None => None,
        }
    }

    /// Bytes from the start of the page.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// True where a page begins.
    #[must_use]
    pub const fn is_page_aligned(self) -> bool {
        self.page_offset() == 0
    }

    /// The range of `len` bytes from here, or `None` on overflow.
    #[must_use]
    pub const fn range(self, len: u64) -> Option<AddrRange> {
        match self.checked_add(len) {
            Some(end) => Some(AddrRange { start: self, end }),
            None => None,
        }
    }
}

impl fmt::Debug for UserAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for UserAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AddrRange {
    /// The first address.
    pub start: UserAddr,
    /// The first address beyond.
    pub end: UserAddr,
}

impl AddrRange {
    /// Makes a range; an `end` below `start` gives an empty one.
    #[must_use]
    pub const fn new(start: UserAddr, end: UserAddr) -> Self {
        let end = if end.0 < start.0 { start } else { end };
        Self { start, end }
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// True if it holds no address.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.start.0
    }

    /// True if `addr` lies in it.
    #[must_use]
    pub const fn contains(self, addr: UserAddr) -> bool {
        self.start.0 <= addr.0 && addr.0 < self.end.0
    }

    /// True if all of `other` lies in it.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.start.0 <= other.start.0 && other.end.0 <= self.end.0
    }

    /// True if both share an address.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// What both share (may be empty).
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Debug for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.0, self.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_round_both_ways() {
        assert_eq!(UserAddr::new(0x1fff).page_down().get(), 0x1000);
        assert_eq!(UserAddr::new(0x1001).page_up().map(UserAddr::get), Some(0x2000));
        assert_eq!(UserAddr::new(u64::MAX).page_up(), None);
    }

    #[test]
    fn ranges_never_overflow() {
        assert_eq!(UserAddr::new(u64::MAX).range(2), None);
        assert!(AddrRange::new(UserAddr::new(5), UserAddr::new(3)).is_empty());
    }
}
