//! What was asked: the mappings of an address space.

use std::sync::Arc;

use abi::{PAGE_SIZE, USER_MAX, USER_MIN};
use platform::Protection;

use crate::{
    Layout, Mappable, MappingHandle, STACK_GUARD_BYTES, Span,
    free::FreeRanges,
    segments::{Piece, Segments},
};

/// All addresses an application may map.
pub(crate) const USER: Span = Span { start: USER_MIN.get(), end: USER_MAX.get() };

/// The most mappings of one address space (Linux's default `vm.max_map_count`).
pub(crate) const MAX_VMAS: usize = 65_530;

/// One mapping: what the application may do with a range and what lies there.
#[derive(Clone, Debug, state::Save, state::Load)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in Linux")]
pub(crate) struct Vma {
    pub(crate) protection: Protection,
    pub(crate) max_protection: Protection,
    pub(crate) shared: bool,
    pub(crate) grows_down: bool,
    pub(crate) locked: bool,
    pub(crate) no_reserve: bool,
    pub(crate) dont_fork: bool,
    pub(crate) wipe_on_fork: bool,
    pub(crate) dont_dump: bool,
    pub(crate) name: Option<Arc<str>>,
    /// `None`: private anonymous memory.
    pub(crate) file: Option<FilePart>,
}

/// Where in which object a mapping begins.
#[derive(Clone, Debug, state::Save, state::Load)]
pub(crate) struct FilePart {
    pub(crate) mapped: Arc<Mapped>,
    pub(crate) offset: u64,
}

/// An object that knows that it is mapped here, for as long as this lives.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "mm::Mapped")]
pub(crate) struct Mapped {
    pub(crate) mappable: Arc<dyn Mappable>,
    pub(crate) handle: MappingHandle,
}

impl Mapped {
    pub(crate) fn new(mappable: Arc<dyn Mappable>, handle: MappingHandle) -> Arc<Self> {
        mappable.add_mapping(&handle);
        Arc::new(Self { mappable, handle })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.mappable.remove_mapping(&self.handle);
    }
}

impl Vma {
    /// True if the application may do anything at all here.
    pub(crate) fn is_accessible(&self) -> bool {
        self.protection != Protection::NONE
    }

    /// True for memory that `RLIMIT_DATA` counts.
    fn is_data(&self) -> bool {
        !self.shared && self.protection.write && !self.grows_down
    }

    /// The offset in the object of the address `at`, when this begins at `start`.
    pub(crate) fn file_offset(&self, start: u64, at: u64) -> u64 {
        self.file.as_ref().map_or(0, |file| file.offset.saturating_add(at - start))
    }

    fn same_but_for_file(&self, other: &Self) -> bool {
        self.protection == other.protection
            && self.max_protection == other.max_protection
            && self.shared == other.shared
            && self.grows_down == other.grows_down
            && self.locked == other.locked
            && self.no_reserve == other.no_reserve
            && self.dont_fork == other.dont_fork
            && self.wipe_on_fork == other.wipe_on_fork
            && self.dont_dump == other.dont_dump
            && self.name == other.name
    }
}

impl Piece for Vma {
    fn skip(&self, bytes: u64) -> Self {
        let mut rest = self.clone();
        if let Some(file) = &mut rest.file {
            file.offset = file.offset.saturating_add(bytes);
        }
        rest
    }

    fn joins(&self, len: u64, next: &Self) -> bool {
        let same_file = match (&self.file, &next.file) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                left.offset.checked_add(len) == Some(right.offset)
                    && Arc::ptr_eq(&left.mapped.mappable, &right.mapped.mappable)
            }
            _ => false,
        };
        same_file && self.same_but_for_file(next)
    }
}

/// Sums over the mappings, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub(crate) struct Sums {
    pub(crate) total: u64,
    pub(crate) data: u64,
    pub(crate) stack: u64,
    pub(crate) text: u64,
    pub(crate) locked: u64,
}

impl Sums {
    fn of(len: u64, vma: &Vma) -> Self {
        let when = |condition: bool| if condition { len } else { 0 };
        Self {
            total: len,
            data: when(vma.is_data()),
            stack: when(vma.grows_down),
            text: when(vma.protection.execute && !vma.protection.write),
            locked: when(vma.locked),
        }
    }

    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.data += other.data;
        self.stack += other.stack;
        self.text += other.text;
        self.locked += other.locked;
    }

    fn sub(&mut self, other: Self) {
        self.total -= other.total;
        self.data -= other.data;
        self.stack -= other.stack;
        self.text -= other.text;
        self.locked -= other.locked;
    }
}

/// The mappings of an address space, and the gaps between them.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct VmaSet {
    segments: Segments<Vma>,
    /// Where a mapping may be placed: not within the guard gap below a stack.
    gaps: FreeRanges,
    sums: Sums,
    peak_total: u64,
}

impl Default for VmaSet {
    fn default() -> Self {
        let mut gaps = FreeRanges::default();
        gaps.insert(USER);
        Self { segments: Segments::default(), gaps, sums: Sums::default(), peak_total: 0 }
    }
}

impl VmaSet {
    /// The mappings, to be looked at.
    pub(crate) fn segments(&self) -> &Segments<Vma> {
        &self.segments
    }

    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    pub(crate) fn peak_total(&self) -> u64 {
        self.peak_total
    }

    /// True if `span` has room for a mapping, guard gaps respected.
    pub(crate) fn is_free(&self, span: Span) -> bool {
        self.gaps.covers(span)
    }

    /// True if cutting at the ends of `span` keeps within [`MAX_VMAS`].
    pub(crate) fn can_cut(&self, span: Span) -> bool {
        self.segments.count() + 2 <= MAX_VMAS
            || [span.start, span.end]
                .into_iter()
                .all(|at| self.segments.at(at).is_none_or(|(found, _)| found.start == at))
    }

    pub(crate) fn insert(&mut self, span: Span, vma: Vma) {
        self.sums.add(Sums::of(span.len(), &vma));
        self.peak_total = self.peak_total.max(self.sums.total);
        self.segments.insert(span, vma);
        self.find_gaps(span);
    }

    #[must_use = "objects are to be dropped without the lock"]
    pub(crate) fn take(&mut self, span: Span) -> Vec<(Span, Vma)> {
        let taken = self.segments.take(span);
        taken.iter().for_each(|(part, vma)| self.sums.sub(Sums::of(part.len(), vma)));
        self.find_gaps(span);
        taken
    }

    pub(crate) fn update(&mut self, span: Span, mut change: impl FnMut(&mut Vma)) {
        let sums = &mut self.sums;
        self.segments.update(span, |part, vma| {
            sums.sub(Sums::of(part.len(), vma));
            change(vma);
            sums.add(Sums::of(part.len(), vma));
        });
    }

    /// Finds room for `len` bytes: top-down below the layout's base, else anywhere above it.
    pub(crate) fn place(&self, len: u64, layout: &Layout) -> Option<Span> {
        let (low, base) = (layout.mmap_low.get(), layout.mmap_base.get());
        let below = self.gaps.highest(len, Span::new(low, base));
        below.or_else(|| self.gaps.lowest(len, Span::new(base, USER.end)))
    }

    /// Finds room below 2 GiB (`MAP_32BIT`; Linux takes the second GiB).
    pub(crate) fn place_low(&self, len: u64) -> Option<Span> {
        self.gaps.highest(len, Span::new(1 << 30, 2 << 30))
    }

    /// Looks anew at what is free between the mappings next to `span`.
    fn find_gaps(&mut self, span: Span) {
        let low = span.start.checked_sub(1).and_then(|at| self.segments.up_to(at));
        let low = low.map_or(USER.start, |(found, _)| found.end.min(span.start));
        let high = self.segments.from(span.end).map_or(USER.end, |(found, _)| found.start);
        self.gaps.remove(Span::new(low, high));
        let mut cursor = low;
        for (found, vma) in self.segments.overlapping(Span::new(low, high.saturating_add(1))) {
            let guard = if vma.grows_down { STACK_GUARD_BYTES } else { 0 };
            self.gaps.insert(Span::new(cursor, found.start.saturating_sub(guard)));
            cursor = cursor.max(found.end);
        }
        self.gaps.insert(Span::new(cursor, high));
    }
}

/// The first whole page of `len` bytes, rounded up; `None` if nothing of that length can exist.
pub(crate) fn round_len(len: u64) -> Option<u64> {
    let len = crate::span::page_up(len)?;
    debug_assert!(len.is_multiple_of(PAGE_SIZE));
    (len <= USER.end).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vma(grows_down: bool) -> Vma {
        Vma {
            protection: Protection::READ_WRITE,
            max_protection: Protection::READ_WRITE,
            shared: false,
            grows_down,
            locked: false,
            no_reserve: false,
            dont_fork: false,
            wipe_on_fork: false,
            dont_dump: false,
            name: None,
            file: None,
        }
    }

    #[test]
    fn nothing_is_placed_in_the_guard_gap_of_a_stack() {
        let mut set = VmaSet::default();
        let stack = Span::from_len(1 << 30, 0x10000);
        set.insert(stack, vma(true));
        let guard = Span::new(stack.start - STACK_GUARD_BYTES, stack.start);
        assert!(!set.is_free(Span::from_len(guard.start, PAGE_SIZE)));
        assert!(set.is_free(Span::from_len(guard.start - PAGE_SIZE, PAGE_SIZE)));
        let layout = Layout { mmap_base: abi::UserAddr::new(stack.end), ..Layout::default() };
        assert_eq!(set.place(PAGE_SIZE, &layout).map(|span| span.end), Some(guard.start));
        set.take(stack).clear();
        assert!(set.is_free(USER));
    }

    #[test]
    fn adjacent_equal_mappings_are_one_and_sums_follow() {
        let mut set = VmaSet::default();
        for page in (0..64).rev() {
            set.insert(Span::page(USER.start + page * PAGE_SIZE), vma(false));
        }
        assert_eq!(set.segments().count(), 1);
        let middle = Span::page(USER.start + 7 * PAGE_SIZE);
        set.update(middle, |vma| vma.protection = Protection::READ);
        assert_eq!(set.segments().count(), 3);
        assert_eq!((set.sums().total, set.sums().data), (64 * PAGE_SIZE, 63 * PAGE_SIZE));
        set.update(middle, |vma| vma.protection = Protection::READ_WRITE);
        assert_eq!(set.segments().count(), 1);
        set.take(USER).clear();
        assert_eq!(set.sums(), Sums::default());
    }
}
