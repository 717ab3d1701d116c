//! An ordered map from spans to values, whose neighbours become one where they fit together.

use std::collections::BTreeMap;

use crate::Span;

/// A value that belongs to a span and can be cut and joined with it.
pub(crate) trait Piece: Clone {
    /// The value of what is left when the first `bytes` are cut off.
    fn skip(&self, bytes: u64) -> Self;

    /// True if `next`, which begins `len` bytes after this, continues it.
    fn joins(&self, len: u64, next: &Self) -> bool;
}

/// Disjoint spans with values.
#[derive(Clone, Debug, state::Save, state::Load)]
pub(crate) struct Segments<T> {
    map: BTreeMap<u64, Segment<T>>,
}

#[derive(Clone, Debug, state::Save, state::Load)]
struct Segment<T> {
    end: u64,
    value: T,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { map: BTreeMap::new() }
    }
}

impl<T: Piece> Segments<T> {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.map.len()
    }

    /// The one that holds `at`.
    pub(crate) fn at(&self, at: u64) -> Option<(Span, &T)> {
        self.up_to(at).filter(|(span, _)| span.contains(at))
    }

    /// The last that begins at or before `at`.
    pub(crate) fn up_to(&self, at: u64) -> Option<(Span, &T)> {
        self.map.range(..=at).next_back().map(of)
    }

    /// The first that begins at or after `at`.
    pub(crate) fn from(&self, at: u64) -> Option<(Span, &T)> {
        self.map.range(at..).next().map(of)
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, &T)> {
        self.map.iter().map(of)
    }

    /// Those that share an offset with `span`, whole, in order.
    pub(crate) fn overlapping(&self, span: Span) -> impl Iterator<Item = (Span, &T)> {
        let first = self.at(span.start).map_or(span.start, |(found, _)| found.start);
        self.map.range(first..span.end.max(first)).map(of)
    }

    /// The same, cut to `span`.
    pub(crate) fn clipped(&self, span: Span) -> impl Iterator<Item = (Span, T)> {
        self.overlapping(span).map(move |(found, value)| {
            let part = found.intersect(span);
            (part, value.skip(part.start - found.start))
        })
    }

    /// The free span around `at` within `within`; empty if `at` is taken.
    pub(crate) fn hole_around(&self, at: u64, within: Span) -> Span {
        let low = self.up_to(at).map_or(0, |(found, _)| found.end);
        let high = self.from(at).map_or(u64::MAX, |(found, _)| found.start);
        if low > at { Span::default() } else { Span::new(low, high).intersect(within) }
    }

    /// The free spans within `within`, in order.
    pub(crate) fn holes(&self, within: Span) -> Vec<Span> {
        let mut holes = Vec::new();
        let mut cursor = within.start;
        for (found, _) in self.overlapping(within) {
            if found.start > cursor {
                holes.push(Span::new(cursor, found.start));
            }
            cursor = found.end;
        }
        if cursor < within.end {
            holes.push(Span::new(cursor, within.end));
        }
        holes
    }

    /// True if no offset of `span` is free.
    pub(crate) fn covers(&self, span: Span) -> bool {
        self.holes(span).is_empty()
    }

    /// Puts a value at `span`, which must be free, and joins it with its neighbours.
    pub(crate) fn insert(&mut self, span: Span, value: T) {
        debug_assert!(self.overlapping(span).next().is_none(), "{span:?} is taken");
        if span.is_empty() {
            return;
        }
        self.map.insert(span.start, Segment { end: span.end, value });
        self.join(span.start);
        self.join(span.end);
    }

    /// Takes out what lies in `span`, cut to it.
    pub(crate) fn take(&mut self, span: Span) -> Vec<(Span, T)> {
        if span.is_empty() {
            return Vec::new();
        }
        self.split(span.start);
        self.split(span.end);
        let starts: Vec<u64> =
            self.map.range(span.start..span.end).map(|(start, _)| *start).collect();
        let parts = starts.into_iter().filter_map(|start| self.map.remove_entry(&start));
        parts.map(|(start, found)| (Span::new(start, found.end), found.value)).collect()
    }

    /// Changes what lies in `span`, cutting at its ends and joining again.
    pub(crate) fn update(&mut self, span: Span, mut change: impl FnMut(Span, &mut T)) {
        if span.is_empty() {
            return;
        }
        self.split(span.start);
        self.split(span.end);
        let mut starts = Vec::new();
        for (start, found) in self.map.range_mut(span.start..span.end) {
            change(Span::new(*start, found.end), &mut found.value);
            starts.push(*start);
        }
        for start in starts {
            self.join(start);
        }
        self.join(span.end);
    }

    fn split(&mut self, at: u64) {
        let Some((start, left)) = self.map.range_mut(..at).next_back() else { return };
        if left.end <= at {
            return;
        }
        let right = Segment { end: left.end, value: left.value.skip(at - start) };
        left.end = at;
        self.map.insert(at, right);
    }

    fn join(&mut self, at: u64) {
        let Some(right) = self.map.get(&at) else { return };
        let end = right.end;
        let Some((start, left)) = self.map.range(..at).next_back() else { return };
        let start = *start;
        if left.end == at && left.value.joins(at - start, &right.value) {
            self.map.remove(&at);
            if let Some(left) = self.map.get_mut(&start) {
                left.end = end;
            }
        }
    }
}

fn of<'a, T>((start, found): (&'a u64, &'a Segment<T>)) -> (Span, &'a T) {
    (Span::new(*start, found.end), &found.value)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the domain has four offsets")]
mod tests {
    use super::*;

    /// A colour; where `numbered`, each offset has its own number, too.
    #[derive(Clone, Debug, PartialEq)]
    struct Paint {
        colour: u8,
        number: Option<u64>,
    }

    impl Piece for Paint {
        fn skip(&self, bytes: u64) -> Self {
            Self { number: self.number.map(|number| number + bytes), ..*self }
        }

        fn joins(&self, len: u64, next: &Self) -> bool {
            self.skip(len) == *next
        }
    }

    fn paint(colour: u8) -> Paint {
        Paint { colour, number: None }
    }

    /// Every sequence of three changes of every span of a domain of four offsets, against an
    /// array; the segments must also be as few as possible.
    #[test]
    fn all_short_histories_of_a_small_domain_end_as_in_an_array() {
        const SIZE: u64 = 4;
        let spans: Vec<Span> =
            (0..SIZE).flat_map(|a| (a + 1..=SIZE).map(move |b| Span::new(a, b))).collect();
        let actions: Vec<(Span, u8)> =
            spans.iter().flat_map(|span| (0..5).map(|kind| (*span, kind))).collect();
        for first in &actions {
            for second in &actions {
                for third in &actions {
                    let mut model = [const { None }; SIZE as usize];
                    let mut segments = Segments::default();
                    for action in [first, second, third] {
                        act(&mut segments, &mut model, *action);
                    }
                    // Shorter histories are among these: taking from nothing changes nothing.
                    check(&segments, &model);
                }
            }
        }
    }

    fn act(segments: &mut Segments<Paint>, model: &mut [Option<Paint>], (span, kind): (Span, u8)) {
        let cells = span.start as usize..span.end as usize;
        match kind {
            0 => {
                segments.take(span);
                model[cells].fill(None);
            }
            1 | 2 => {
                segments.take(span);
                segments.insert(span, paint(kind));
                model[cells].fill(Some(paint(kind)));
            }
            3 => {
                segments.take(span);
                segments.insert(span, Paint { colour: 3, number: Some(span.start) });
                for at in cells {
                    model[at] = Some(Paint { colour: 3, number: Some(at as u64) });
                }
            }
            _ => {
                segments.update(span, |_, value| value.colour = 1);
                model[cells].iter_mut().flatten().for_each(|value| value.colour = 1);
            }
        }
    }

    fn check(segments: &Segments<Paint>, model: &[Option<Paint>]) {
        let mut fewest = 0;
        for (at, want) in model.iter().enumerate() {
            let found =
                segments.at(at as u64).map(|(span, value)| value.skip(at as u64 - span.start));
            assert_eq!(found.as_ref(), want.as_ref());
            let before = at.checked_sub(1).and_then(|before| model[before].as_ref());
            let continues = before
                .is_some_and(|before| want.as_ref().is_some_and(|want| before.joins(1, want)));
            fewest += usize::from(want.is_some() && !continues);
            let hole = segments.hole_around(at as u64, Span::new(0, model.len() as u64));
            assert_eq!(hole.contains(at as u64), want.is_none());
            assert!((hole.start..hole.end).all(|at| model[at as usize].is_none()));
        }
        assert_eq!(segments.count(), fewest);
        let free: u64 =
            segments.holes(Span::new(0, model.len() as u64)).iter().map(|hole| hole.len()).sum();
        assert_eq!(free as usize, model.iter().filter(|cell| cell.is_none()).count());
    }
}
