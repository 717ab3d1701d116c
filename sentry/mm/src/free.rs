//! Free ranges, found by size.

use std::collections::{BTreeMap, BTreeSet};

use crate::Span;

/// Disjoint free ranges that never touch, indexed by size class, so that a fitting one is found
/// without walking over the small ones: gaps of an address space, free pages of the memory object.
#[derive(Clone, Debug, Default, state::Save, state::Load)]
pub(crate) struct FreeRanges {
    /// End of each range by its start.
    ranges: BTreeMap<u64, u64>,
    /// Class (binary logarithm of the length) and start of each range.
    classes: BTreeSet<(u32, u64)>,
}

impl FreeRanges {
    /// Adds `span`, which may touch or overlap ranges that are free already.
    pub(crate) fn insert(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let mut whole = span;
        while let Some(found) = self.up_to(whole.end).filter(|found| found.end >= whole.start) {
            self.drop_range(found);
            whole = Span::new(whole.start.min(found.start), whole.end.max(found.end));
        }
        self.add_range(whole);
    }

    /// Takes `span` out; parts of it may not be free.
    pub(crate) fn remove(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        while let Some(found) = self.up_to(span.end - 1).filter(|found| found.overlaps(span)) {
            self.drop_range(found);
            self.add_range(Span::new(found.start, span.start.min(found.end)));
            self.add_range(Span::new(span.end.max(found.start), found.end));
        }
    }

    /// True if all of `span` is free.
    pub(crate) fn covers(&self, span: Span) -> bool {
        self.up_to(span.start).is_some_and(|found| found.end >= span.end)
    }

    /// The highest free span of `len` bytes within `within`.
    pub(crate) fn highest(&self, len: u64, within: Span) -> Option<Span> {
        let classes = len.checked_ilog2()?..u64::BITS;
        let fits = classes.filter_map(|class| {
            self.classes.range((class, 0)..(class, within.end)).rev().find_map(|(_, start)| {
                let free = self.range(*start).intersect(within);
                let place = free.end.checked_sub(len).filter(|place| *place >= free.start);
                place.map(|place| Span::from_len(place, len))
            })
        });
        fits.max_by_key(|span| span.start)
    }

    /// The lowest free span of `len` bytes within `within`.
    pub(crate) fn lowest(&self, len: u64, within: Span) -> Option<Span> {
        let classes = len.checked_ilog2()?..u64::BITS;
        // The range that reaches into `within` from below is in no class's part of it.
        let first = self.up_to(within.start).map(|found| found.start);
        let fits = classes.filter_map(|class| {
            let later = self.classes.range((class, within.start)..(class, within.end));
            later.map(|(_, start)| *start).find(|start| self.fits(*start, len, within))
        });
        let first = first.filter(|start| self.fits(*start, len, within));
        let start = fits.chain(first).min()?;
        Some(Span::from_len(start.max(within.start), len))
    }

    /// One of the largest ranges (of the largest class).
    pub(crate) fn large(&self) -> Option<Span> {
        self.classes.last().map(|(_, start)| self.range(*start))
    }

    fn fits(&self, start: u64, len: u64, within: Span) -> bool {
        self.range(start).intersect(within).len() >= len
    }

    fn range(&self, start: u64) -> Span {
        Span::new(start, self.ranges.get(&start).copied().unwrap_or(start))
    }

    fn up_to(&self, at: u64) -> Option<Span> {
        self.ranges.range(..=at).next_back().map(|(start, end)| Span::new(*start, *end))
    }

    fn add_range(&mut self, span: Span) {
        if let Some(class) = span.len().checked_ilog2() {
            self.ranges.insert(span.start, span.end);
            self.classes.insert((class, span.start));
        }
    }

    fn drop_range(&mut self, span: Span) {
        if let Some(class) = span.len().checked_ilog2() {
            self.ranges.remove(&span.start);
            self.classes.remove(&(class, span.start));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 8;

    fn model(bits: u64) -> FreeRanges {
        let mut free = FreeRanges::default();
        (0..SIZE)
            .filter(|at| bits >> at & 1 == 1)
            .for_each(|at| free.insert(Span::from_len(at, 1)));
        free
    }

    fn is_free(bits: u64, span: Span) -> bool {
        (span.start..span.end).all(|at| at < SIZE && bits >> at & 1 == 1)
    }

    /// All 256 patterns of eight offsets, each length, each window.
    #[test]
    fn every_search_in_a_small_domain_finds_what_a_walk_finds() {
        for bits in 0..1_u64 << SIZE {
            let free = model(bits);
            for len in 1..=SIZE {
                for low in 0..SIZE {
                    for high in low..=SIZE {
                        let within = Span::new(low, high);
                        let places = || {
                            (low..=high.saturating_sub(len))
                                .filter(|at| at + len <= high)
                                .filter(|at| is_free(bits, Span::from_len(*at, len)))
                        };
                        let want = |at: u64| Span::from_len(at, len);
                        assert_eq!(free.highest(len, within), places().max().map(want));
                        assert_eq!(free.lowest(len, within), places().min().map(want));
                    }
                }
            }
        }
    }

    #[test]
    fn inserting_and_removing_any_span_gives_the_pattern_built_bit_by_bit() {
        for bits in 0..1_u64 << SIZE {
            for start in 0..SIZE {
                for end in start..=SIZE {
                    let span = Span::new(start, end);
                    let mask = (start..end).fold(0, |mask, at| mask | 1 << at);
                    let mut free = model(bits);
                    free.insert(span);
                    assert_eq!(free.ranges, model(bits | mask).ranges);
                    assert_eq!(free.classes, model(bits | mask).classes);
                    let mut free = model(bits);
                    free.remove(span);
                    assert_eq!(free.ranges, model(bits & !mask).ranges);
                    assert_eq!(free.classes, model(bits & !mask).classes);
                    assert!(span.is_empty() || !free.covers(span));
                }
            }
        }
    }
}
