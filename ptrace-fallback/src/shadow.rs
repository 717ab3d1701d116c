//! What is mapped in a space, as the Sentry knows it. Copies go by this map, never through the
//! stub.

use std::collections::BTreeMap;

use abi::AddrRange;
use platform::{Backing, Protection};

/// One mapping; its start is the key.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// First address beyond.
    pub(crate) end: u64,
    /// What lies at its start.
    pub(crate) backing: Backing,
    /// Its rights.
    pub(crate) protection: Protection,
}

/// All mappings of a space, without overlaps; neighbours that continue each other are merged, as
/// the host merges its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shadow(BTreeMap<u64, Mapping>);

fn advance(backing: &Backing, by: u64) -> Backing {
    match backing {
        Backing::Memory { offset } => Backing::Memory { offset: offset.wrapping_add(by) },
        Backing::File { file, offset } => {
            Backing::File { file: file.clone(), offset: offset.wrapping_add(by) }
        }
    }
}

/// True if `next` is what lies `by` bytes behind the start of `first`.
fn continues(first: &Mapping, by: u64, next: &Mapping) -> bool {
    if first.protection != next.protection {
        return false;
    }
    match (&first.backing, &next.backing) {
        (Backing::Memory { offset: a }, Backing::Memory { offset: b }) => a.wrapping_add(by) == *b,
        (Backing::File { file: f, offset: a }, Backing::File { file: g, offset: b }) => {
            std::sync::Arc::ptr_eq(f, g) && a.wrapping_add(by) == *b
        }
        _ => false,
    }
}

impl Shadow {
    /// The mapping that holds `addr`, as the backing of `addr`, the bytes from there to the
    /// mapping's end, and its rights.
    pub(crate) fn at(&self, addr: u64) -> Option<(Backing, u64, Protection)> {
        let (start, mapping) = self.0.range(..=addr).next_back()?;
        let left = mapping.end.checked_sub(addr).filter(|left| *left > 0)?;
        Some((advance(&mapping.backing, addr - start), left, mapping.protection))
    }

    /// Maps a range in place of whatever was there.
    pub(crate) fn map(&mut self, range: AddrRange, backing: Backing, protection: Protection) {
        self.unmap(range);
        let (start, end) = (range.start.get(), range.end.get());
        self.0.insert(start, Mapping { end, backing, protection });
        self.merge_at(end);
        self.merge_at(start);
    }

    /// Removes what is mapped in a range.
    pub(crate) fn unmap(&mut self, range: AddrRange) {
        self.split_at(range.start.get());
        self.split_at(range.end.get());
        let inside: Vec<u64> =
            self.0.range(range.start.get()..range.end.get()).map(|(start, _)| *start).collect();
        for start in inside {
            self.0.remove(&start);
        }
    }

    /// Changes the rights of what is mapped in a range, and returns the mapped parts of it,
    /// joined where they touch.
    pub(crate) fn protect(&mut self, range: AddrRange, protection: Protection) -> Vec<(u64, u64)> {
        self.split_at(range.start.get());
        self.split_at(range.end.get());
        let mut parts: Vec<(u64, u64)> = Vec::new();
        for (start, mapping) in self.0.range_mut(range.start.get()..range.end.get()) {
            mapping.protection = protection;
            match parts.last_mut() {
                Some((_, end)) if *end == *start => *end = mapping.end,
                _ => parts.push((*start, mapping.end)),
            }
        }
        let starts: Vec<u64> =
            self.0.range(range.start.get()..=range.end.get()).map(|(start, _)| *start).collect();
        for start in starts.into_iter().rev() {
            self.merge_at(start);
        }
        parts
    }

    /// Makes a mapping begin at `addr` if one spans it.
    fn split_at(&mut self, addr: u64) {
        let Some((start, mapping)) = self.0.range_mut(..addr).next_back() else { return };
        if mapping.end <= addr {
            return;
        }
        let rest = Mapping {
            end: mapping.end,
            backing: advance(&mapping.backing, addr - start),
            protection: mapping.protection,
        };
        mapping.end = addr;
        self.0.insert(addr, rest);
    }

    /// Joins the mapping that begins at `addr` to the one before it, if it continues it.
    fn merge_at(&mut self, addr: u64) {
        let Some(next) = self.0.get(&addr) else { return };
        let Some((start, before)) = self.0.range(..addr).next_back() else { return };
        if before.end != addr || !continues(before, addr - start, next) {
            return;
        }
        let (start, end) = (*start, next.end);
        self.0.remove(&addr);
        if let Some(before) = self.0.get_mut(&start) {
            before.end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use abi::UserAddr;

    use super::*;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(UserAddr::new(start), UserAddr::new(end))
    }

    fn offset(shadow: &Shadow, addr: u64) -> Option<u64> {
        match shadow.at(addr)?.0 {
            Backing::Memory { offset } => Some(offset),
            Backing::File { .. } => None,
        }
    }

    #[test]
    fn neighbours_that_continue_each_other_are_one_and_can_be_parted_again() {
        let mut shadow = Shadow::default();
        let memory = |offset| Backing::Memory { offset };
        shadow.map(range(0x2000, 0x3000), memory(0x1000), Protection::READ);
        shadow.map(range(0x1000, 0x2000), memory(0), Protection::READ);
        shadow.map(range(0x3000, 0x4000), memory(0x2000), Protection::READ);
        assert_eq!(shadow.0.len(), 1);
        let parts = shadow.protect(range(0x1800 + 0x800, 0x3000), Protection::READ_WRITE);
        assert_eq!(parts, [(0x2000, 0x3000)]);
        assert_eq!(shadow.0.len(), 3);
        shadow.protect(range(0, 0x10000), Protection::READ);
        assert_eq!(shadow.0.len(), 1);
        shadow.unmap(range(0x2000, 0x3000));
        assert_eq!(offset(&shadow, 0x1fff), Some(0xfff));
        assert_eq!(offset(&shadow, 0x2000), None);
        assert_eq!(offset(&shadow, 0x3000), Some(0x2000));
        assert_eq!(shadow.protect(range(0, 0x10000), Protection::READ).len(), 2);
    }
}
