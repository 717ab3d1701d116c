//! Pages of a file that lies in memory.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use platform::Backing;
use sched::Mutex;

use crate::{
    Charge, Copies, Kind, MapError, MappingHandle, Mappings, Memory, Span, Translation,
    invalidate_all,
    memory::Content,
    segments::{Piece, Segments},
    span::{page_down, page_up},
    window,
};

/// The largest size, as `off_t` has it, in whole pages.
const MAX_SIZE: u64 = page_down(i64::MAX as u64);

/// The most pages that one allocation asks for.
const MAX_RUN: u64 = 512;

/// Sparse file content in the memory object: the body of tmpfs files, memfds and shared anonymous
/// memory. Holes read as zero and cost nothing.
#[derive(Debug, state::Save, state::Load)]
pub struct PageCache {
    memory: Arc<Memory>,
    charge: Arc<Charge>,
    kind: Kind,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default, state::Save, state::Load)]
struct Inner {
    size: u64,
    /// By offset in the file; what is there lies below `size` rounded up to pages, except what
    /// was allocated ahead on purpose.
    pages: Segments<Cached>,
    resident: u64,
    mappings: Mappings,
}

/// Where a run of pages lies in the memory object.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Cached {
    offset: u64,
}

impl Piece for Cached {
    fn skip(&self, bytes: u64) -> Self {
        Self { offset: self.offset + bytes }
    }

    fn joins(&self, len: u64, next: &Self) -> bool {
        self.offset + len == next.offset
    }
}

impl PageCache {
    /// An empty one.
    #[must_use]
    pub fn new(memory: &Arc<Memory>, charge: &Arc<Charge>, kind: Kind) -> Self {
        let inner = Mutex::new(Inner::default());
        Self { memory: Arc::clone(memory), charge: Arc::clone(charge), kind, inner }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.lock().size
    }

    /// Bytes of memory in use (`st_blocks` * 512).
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.inner.lock().resident
    }

    /// Reads at `offset`; fewer bytes than asked only at the end.
    #[must_use]
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> usize {
        let inner = self.inner.lock();
        let span = Span::from_len(offset, to.len() as u64).intersect(Span::new(0, inner.size));
        let Some(to) = to.get_mut(..in_memory(span.len())) else { return 0 };
        to.fill(0);
        for (part, cached) in inner.pages.clipped(span) {
            if let Some(to) = to.get_mut(within(part, span)) {
                self.memory.read(cached.offset, to);
            }
        }
        to.len()
    }

    /// Writes at `offset`, growing the size; fewer bytes than given only if memory runs out
    /// part-way.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if not one byte could be written, `EFBIG` beyond the largest offset.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        if from.is_empty() {
            return Ok(0);
        }
        let wanted = Span::from_len(offset, from.len() as u64).intersect(Span::new(0, MAX_SIZE));
        if wanted.is_empty() {
            return Err(Errno::EFBIG);
        }
        let mut inner = self.inner.lock();
        let filled = self.fill(&mut inner, whole_pages(wanted), wanted);
        let span = wanted.intersect(Span::new(0, filled));
        if span.is_empty() {
            return Err(Errno::ENOSPC);
        }
        self.zero_tail(&inner, span.start);
        for (part, cached) in inner.pages.clipped(span) {
            if let Some(from) = from.get(within(part, span)) {
                self.memory.write(cached.offset, from);
            }
        }
        inner.size = inner.size.max(span.end);
        Ok(in_memory(span.len()))
    }

    /// Sets the size; what lies beyond is gone from all mappings when this returns.
    ///
    /// # Errors
    ///
    /// `EFBIG` beyond the largest offset.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let mut inner = self.inner.lock();
        let old = inner.size;
        inner.size = size;
        if size >= old {
            self.zero(&inner, Span::new(old, page_up(old).unwrap_or(old)));
            return Ok(());
        }
        let cut = Span::new(page_up(size).unwrap_or(size), u64::MAX);
        self.zero(&inner, Span::new(size, cut.start));
        let gone = inner.take(cut);
        drop(inner);
        self.invalidate(cut, Copies::Drop);
        self.memory.release(&gone);
        Ok(())
    }

    /// Makes `range` read as zero and gives its whole pages back; the size stays.
    pub fn punch_hole(&self, range: Span) {
        let pages = Span::new(page_up(range.start).unwrap_or(u64::MAX), page_down(range.end));
        let mut inner = self.inner.lock();
        let gone = inner.take(pages);
        // What is left of the range are parts of pages at its ends.
        self.zero(&inner, range);
        drop(inner);
        if !gone.is_empty() {
            self.invalidate(pages, Copies::Keep);
        }
        self.memory.release(&gone);
    }

    /// Gives memory to the holes of `range` (fallocate); the size stays.
    ///
    /// # Errors
    ///
    /// `EFBIG` beyond the largest offset, `ENOSPC` when memory runs out (what was allocated
    /// stays).
    pub fn allocate(&self, range: Span) -> Result<(), Errno> {
        if range.end > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let pages = whole_pages(range);
        let filled = self.fill(&mut self.inner.lock(), pages, Span::default());
        if filled < pages.end { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// The first byte at or after `offset` that holds data (`SEEK_DATA`); `None`: none before
    /// the end.
    #[must_use]
    pub fn seek_data(&self, offset: u64) -> Option<u64> {
        let inner = self.inner.lock();
        let data = match inner.pages.at(offset) {
            Some(_) => offset,
            None => inner.pages.from(offset)?.0.start,
        };
        Some(data).filter(|data| *data < inner.size)
    }

    /// The first byte at or after `offset` that is in a hole (`SEEK_HOLE`), at most the end;
    /// `None`: `offset` lies beyond the end.
    #[must_use]
    pub fn seek_hole(&self, offset: u64) -> Option<u64> {
        let inner = self.inner.lock();
        if offset >= inner.size {
            return None;
        }
        let mut hole = offset;
        while let Some((span, _)) = inner.pages.at(hole) {
            hole = span.end;
        }
        Some(hole.min(inner.size))
    }

    /// For [`crate::Mappable::translate`]. A hole gets memory, whether it is read or written.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        let _ = write;
        let mut inner = self.inner.lock();
        let whole = Span::new(0, page_up(inner.size).unwrap_or(MAX_SIZE));
        if !whole.contains(offset) {
            return Err(MapError::BeyondEnd);
        }
        let page = Span::page(offset);
        let hole = inner.pages.hole_around(page.start, whole);
        if !hole.is_empty() {
            let before = hole.start.checked_sub(1).and_then(|at| inner.pages.at(at));
            let before = before.map_or(0, |(span, _)| span.len());
            let window = window::to_allocate(page, hole, before);
            self.fill_one(&mut inner, window, page).ok_or(MapError::NoMemory)?;
        }
        let (span, cached) = inner.pages.at(page.start).ok_or(MapError::NoMemory)?;
        Ok(Translation {
            backing: Backing::Memory { offset: cached.skip(page.start - span.start).offset },
            len: span.intersect(whole).intersect(Span::from_len(page.start, len)).len(),
            writable: true,
        })
    }

    /// For [`crate::Mappable::add_mapping`].
    pub fn add_mapping(&self, mapping: &MappingHandle) {
        self.inner.lock().mappings.add(mapping);
    }

    /// For [`crate::Mappable::remove_mapping`].
    pub fn remove_mapping(&self, mapping: &MappingHandle) {
        self.inner.lock().mappings.remove(mapping);
    }

    /// How many shared mappings may write to it (file seals ask).
    #[must_use]
    pub fn writable_mappings(&self) -> usize {
        self.inner.lock().mappings.writable()
    }

    fn invalidate(&self, pages: Span, copies: Copies) {
        invalidate_all(|| self.inner.lock().mappings.snapshot(), pages, copies);
    }

    /// Gives memory to all holes of `pages`; those within `overwritten` need no zeroes. Returns
    /// how far it got.
    fn fill(&self, inner: &mut Inner, pages: Span, overwritten: Span) -> u64 {
        let inside =
            Span::new(page_up(overwritten.start).unwrap_or(u64::MAX), page_down(overwritten.end));
        for hole in inner.pages.holes(pages) {
            let mut at = hole.start;
            while at < hole.end {
                let run = Span::new(at, hole.end.min(at + MAX_RUN * PAGE_SIZE));
                let content =
                    if run.intersect(inside) == run { Content::Any } else { Content::Zero };
                let Some(len) = self.take(inner, run, content) else { return at };
                at += len;
            }
        }
        pages.end
    }

    /// Gives memory to the free span `window`, or at least to `page` in it.
    fn fill_one(&self, inner: &mut Inner, window: Span, page: Span) -> Option<u64> {
        match self.memory.take(window.pages(), &self.charge, self.kind, Content::Zero) {
            Ok(frames) => Some(inner.put(window, frames)),
            Err(_) => self.take(inner, page, Content::Zero),
        }
    }

    /// Gives memory to the start of the free span `run`: to all of it or, when memory is short,
    /// to one page.
    fn take(&self, inner: &mut Inner, run: Span, content: Content) -> Option<u64> {
        [run.pages(), 1].into_iter().find_map(|pages| {
            let frames = self.memory.take(pages, &self.charge, self.kind, content).ok()?;
            Some(inner.put(Span::from_len(run.start, frames.len()), frames))
        })
    }

    /// Zeroes what was written through mappings between the end and the end of its page, because
    /// the end moves up to `start` or beyond.
    fn zero_tail(&self, inner: &Inner, start: u64) {
        let tail = Span::new(inner.size, page_up(inner.size).unwrap_or(inner.size));
        self.zero(inner, Span::new(tail.start, tail.end.min(start)));
    }

    /// Zeroes what is there of `span`.
    fn zero(&self, inner: &Inner, span: Span) {
        for (part, cached) in inner.pages.clipped(span) {
            self.memory.zero(cached.offset, part.len());
        }
    }
}

impl Inner {
    fn put(&mut self, span: Span, frames: Span) -> u64 {
        self.pages.insert(span, Cached { offset: frames.start });
        self.resident += span.len();
        span.len()
    }

    /// Takes pages out; returns where they lie in the memory object.
    fn take(&mut self, span: Span) -> Vec<Span> {
        let taken = self.pages.take(span);
        let frames: Vec<Span> =
            taken.iter().map(|(part, cached)| Span::from_len(cached.offset, part.len())).collect();
        self.resident -= frames.iter().map(|frames| frames.len()).sum::<u64>();
        frames
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        let frames = self.inner.get_mut().take(Span::new(0, u64::MAX));
        self.memory.release(&frames);
    }
}

/// The pages that `span` touches.
fn whole_pages(span: Span) -> Span {
    Span::new(page_down(span.start), page_up(span.end).unwrap_or(MAX_SIZE))
}

/// The part of a buffer for `whole` that belongs to `part`.
fn within(part: Span, whole: Span) -> std::ops::Range<usize> {
    in_memory(part.start - whole.start)..in_memory(part.end - whole.start)
}

/// A length that is bounded by a buffer's.
fn in_memory(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
