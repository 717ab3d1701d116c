//! All application memory of the sandbox.

mod books;
mod frames;
#[cfg(test)]
mod tests;

pub use frames::Frames;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use abi::{Errno, PAGE_SIZE};
use host::MemoryObject;
use sched::Mutex;

use self::books::Books;
use crate::{Charge, Kind, Span};

/// Free pages that stay in the host's memory to be used again, without the host having to fault
/// them in once more. Beyond that they are given back.
const WARM_BYTES: u64 = 16 << 20;

/// All application memory of the sandbox: pages of the memory object, each with a count of
/// references and the account that pays for it.
#[derive(Debug, state::Save, state::Load)]
pub struct Memory {
    #[state(given)]
    object: Arc<MemoryObject>,
    limit: AtomicU64,
    next_id: AtomicU64,
    #[state(early)]
    books: Mutex<Books>,
}

/// What a fresh page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Zeroes.
    Zero,
    /// Anything: the caller overwrites all of it before anybody else sees it.
    Any,
}

impl Memory {
    /// Keeps the books of `object`, of which at most `limit_bytes` may be in use.
    #[must_use]
    pub fn new(object: Arc<MemoryObject>, limit_bytes: u64) -> Arc<Self> {
        let books = Mutex::new(Books::new(object.size_bytes()));
        let limit = AtomicU64::new(limit_bytes);
        Arc::new(Self { object, limit, next_id: AtomicU64::new(1), books })
    }

    /// The memory object.
    #[must_use]
    pub fn object(&self) -> &Arc<MemoryObject> {
        &self.object
    }

    /// Takes `pages` contiguous zeroed pages and charges them.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when a limit is reached or no free range is that long.
    pub fn allocate(
        self: &Arc<Self>,
        pages: u64,
        charge: &Arc<Charge>,
        kind: Kind,
    ) -> Result<Frames, Errno> {
        let span = self.take(pages, charge, kind, Content::Zero)?;
        Ok(Frames::new(Arc::clone(self), span))
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.books.lock().used_bytes()
    }

    /// The ranges in use, in order: what a checkpoint keeps.
    #[must_use]
    pub fn used(&self) -> Vec<Span> {
        self.books.lock().used()
    }

    /// The most that may be in use.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit; what is above it already stays.
    pub fn set_limit_bytes(&self, limit_bytes: u64) {
        self.limit.store(limit_bytes, Ordering::Relaxed);
    }

    /// Copies out of the object.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        self.object.read(offset, to);
    }

    /// Copies into the object.
    pub fn write(&self, offset: u64, from: &[u8]) {
        self.object.write(offset, from);
    }

    /// Writes zeroes.
    pub fn zero(&self, offset: u64, len: u64) {
        self.object.zero(offset, usize::try_from(len).unwrap_or(0));
    }

    /// Gives all free pages back to the host, for a sandbox that has become idle.
    pub fn trim(&self) {
        self.cool_down(0);
    }

    /// A number that was not given out before: address spaces, mappings, inodes of shared memory.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes pages; whoever calls this keeps the books of the reference.
    pub(crate) fn take(
        &self,
        pages: u64,
        charge: &Arc<Charge>,
        kind: Kind,
        content: Content,
    ) -> Result<Span, Errno> {
        let len = pages.checked_mul(PAGE_SIZE).filter(|len| *len > 0).ok_or(Errno::ENOMEM)?;
        if !charge.add(len, kind) {
            return Err(Errno::ENOMEM);
        }
        let taken = self.books.lock().take(len, self.limit_bytes(), charge, kind);
        let taken = taken.inspect_err(|_| charge.sub(len, kind))?;
        if taken.dirty && content == Content::Zero {
            self.zero(taken.span.start, len);
        }
        Ok(taken.span)
    }

    /// Adds a reference to each page of `spans`.
    pub(crate) fn retain(&self, spans: &[Span]) {
        if !spans.is_empty() {
            let mut books = self.books.lock();
            spans.iter().for_each(|span| books.retain(*span));
        }
    }

    /// Takes a reference off each page of `spans`. No mapping of the holder may be left.
    pub(crate) fn release(&self, spans: &[Span]) {
        if spans.is_empty() {
            return;
        }
        let warm = {
            let mut books = self.books.lock();
            spans.iter().for_each(|span| books.release(*span));
            books.warm_bytes()
        };
        if warm > WARM_BYTES {
            self.cool_down(WARM_BYTES / 2);
        }
    }

    /// True if each page of `span` has exactly one reference.
    pub(crate) fn is_exclusive(&self, span: Span) -> bool {
        let books = self.books.lock();
        span.page_starts().all(|at| books.refs(at) == 1)
    }

    /// The pages around `at` within `within` that have one reference each (`exclusive`), or more
    /// than one each; empty if the page at `at` is of the other sort.
    pub(crate) fn run_around(&self, at: u64, within: Span, exclusive: bool) -> Span {
        let books = self.books.lock();
        let matches = |at: u64| (books.refs(at) == 1) == exclusive;
        let page = Span::page(at);
        if !matches(page.start) {
            return Span::default();
        }
        let after = Span::new(page.end, within.end).page_starts().take_while(|at| matches(*at));
        let before = Span::new(within.start, page.start).page_starts();
        let before = before.count() as u64;
        let before = (1..=before).take_while(|page_no| matches(page.start - page_no * PAGE_SIZE));
        let (before, after) = (before.count() as u64, after.count() as u64);
        Span::new(page.start - before * PAGE_SIZE, page.end + after * PAGE_SIZE)
    }

    /// References of the page at `at`.
    #[cfg(test)]
    pub(crate) fn refs(&self, at: u64) -> u32 {
        self.books.lock().refs(at)
    }

    /// Gives free pages back to the host until at most `keep` bytes are warm. The host calls are
    /// made without the lock.
    fn cool_down(&self, keep: u64) {
        loop {
            let span = {
                let mut books = self.books.lock();
                if books.warm_bytes() <= keep { None } else { books.take_warm() }
            };
            let Some(span) = span else { return };
            if let Err(error) = self.decommit(span) {
                tracing::warn!(?error, "the host does not take memory back");
                self.books.lock().add_warm(span);
                return;
            }
            self.books.lock().add_cold(span);
        }
    }

    fn decommit(&self, span: Span) -> io::Result<()> {
        Ok(self.object.decommit(span.start, span.len())?)
    }
}
