//! Who holds which page of the memory object.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use crate::{Charge, Kind, Span, free::FreeRanges};

/// Pages whose records are allocated together (2 MiB of memory, 4 KiB of records).
const CHUNK_PAGES: u64 = 512;

/// What is known of one page.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Frame {
    /// References; 0: free. At the largest number it stays for ever.
    refs: u32,
    /// Index in [`Books::payers`].
    payer: u16,
    kind: Kind,
}

/// An account and how much of its memory lies here.
#[derive(Debug, state::Save, state::Load)]
struct Payer {
    charge: Arc<Charge>,
    bytes: u64,
}

/// The books of [`super::Memory`].
#[derive(Debug, state::Save, state::Load)]
pub(super) struct Books {
    /// Records of the pages, made when first needed.
    chunks: Vec<Option<Box<[Frame]>>>,
    payers: Vec<Option<Payer>>,
    /// Free, in the host's memory, with old content.
    warm: FreeRanges,
    warm_bytes: u64,
    /// Free and known to read as zero.
    cold: FreeRanges,
    used_bytes: u64,
    whole: Span,
}

/// A fresh allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) span: Span,
    /// It holds old content.
    pub(super) dirty: bool,
}

impl Books {
    pub(super) fn new(size_bytes: u64) -> Self {
        let whole = Span::new(0, crate::span::page_down(size_bytes));
        let mut cold = FreeRanges::default();
        cold.insert(whole);
        Self {
            chunks: Vec::new(),
            payers: Vec::new(),
            warm: FreeRanges::default(),
            warm_bytes: 0,
            cold,
            used_bytes: 0,
            whole,
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(super) fn warm_bytes(&self) -> u64 {
        self.warm_bytes
    }

    /// Takes `len` contiguous bytes with one reference each.
    pub(super) fn take(
        &mut self,
        len: u64,
        limit: u64,
        charge: &Arc<Charge>,
        kind: Kind,
    ) -> Result<Taken, Errno> {
        let used = self.used_bytes.checked_add(len).filter(|used| *used <= limit);
        let used = used.ok_or(Errno::ENOMEM)?;
        let taken = self.find(len).ok_or(Errno::ENOMEM)?;
        let payer = self.payer(charge)?;
        if taken.dirty {
            self.warm.remove(taken.span);
            self.warm_bytes -= len;
        } else {
            self.cold.remove(taken.span);
        }
        self.used_bytes = used;
        self.for_each(taken.span, |frame| *frame = Frame { refs: 1, payer, kind });
        if let Some(Some(payer)) = self.payers.get_mut(usize::from(payer)) {
            payer.bytes += len;
        }
        Ok(taken)
    }

    fn find(&self, len: u64) -> Option<Taken> {
        let warm = self.warm.lowest(len, self.whole).map(|span| Taken { span, dirty: true });
        let cold = || self.cold.lowest(len, self.whole).map(|span| Taken { span, dirty: false });
        warm.or_else(cold)
    }

    /// Adds a reference to each page of `span`.
    pub(super) fn retain(&mut self, span: Span) {
        self.for_each(span, |frame| frame.refs = frame.refs.saturating_add(1));
    }

    /// Takes a reference off each page of `span`; pages without any become free.
    pub(super) fn release(&mut self, span: Span) {
        let mut run = Span::from_len(span.start, 0);
        for at in span.page_starts() {
            let Some(frame) = self.frame_mut(at) else { continue };
            if frame.refs == 0 {
                tracing::error!(at, "page released twice");
                continue;
            }
            if frame.refs != u32::MAX {
                frame.refs -= 1;
            }
            if frame.refs > 0 {
                continue;
            }
            let (payer, kind) = (frame.payer, frame.kind);
            self.refund(payer, kind);
            if run.end != at {
                self.free(run);
                run = Span::from_len(at, 0);
            }
            run.end = at + PAGE_SIZE;
        }
        self.free(run);
    }

    /// The pages in use, in order.
    pub(super) fn used(&self) -> Vec<Span> {
        let mut used: Vec<Span> = Vec::new();
        for (chunk, frames) in self.chunks.iter().enumerate() {
            for (index, frame) in frames.iter().flat_map(|frames| frames.iter()).enumerate() {
                if frame.refs == 0 {
                    continue;
                }
                let page = chunk as u64 * CHUNK_PAGES + index as u64;
                let at = page * PAGE_SIZE;
                match used.last_mut() {
                    Some(last) if last.end == at => last.end += PAGE_SIZE,
                    _ => used.push(Span::from_len(at, PAGE_SIZE)),
                }
            }
        }
        used
    }

    /// References of the page at `at`.
    pub(super) fn refs(&self, at: u64) -> u32 {
        let (chunk, index) = place(at);
        let frame = self.chunks.get(chunk).and_then(Option::as_ref).and_then(|c| c.get(index));
        frame.map_or(0, |frame| frame.refs)
    }

    /// Takes a warm range out, to be given back to the host and then to [`Books::add_cold`].
    pub(super) fn take_warm(&mut self) -> Option<Span> {
        let span = self.warm.large()?;
        self.warm.remove(span);
        self.warm_bytes -= span.len();
        Some(span)
    }

    pub(super) fn add_cold(&mut self, span: Span) {
        self.cold.insert(span);
    }

    pub(super) fn add_warm(&mut self, span: Span) {
        self.warm.insert(span);
        self.warm_bytes += span.len();
    }

    fn free(&mut self, span: Span) {
        self.used_bytes -= span.len();
        self.add_warm(span);
    }

    fn refund(&mut self, index: u16, kind: Kind) {
        let Some(slot) = self.payers.get_mut(usize::from(index)) else { return };
        let Some(payer) = slot else { return };
        payer.charge.sub(PAGE_SIZE, kind);
        payer.bytes -= PAGE_SIZE;
        if payer.bytes == 0 {
            *slot = None;
        }
    }

    fn payer(&mut self, charge: &Arc<Charge>) -> Result<u16, Errno> {
        let same = |slot: &Option<Payer>| {
            slot.as_ref().is_some_and(|payer| Arc::ptr_eq(&payer.charge, charge))
        };
        let index = self.payers.iter().position(same).unwrap_or_else(|| {
            let new = Some(Payer { charge: Arc::clone(charge), bytes: 0 });
            if let Some(index) = self.payers.iter().position(Option::is_none) {
                self.payers[index] = new;
                return index;
            }
            self.payers.push(new);
            self.payers.len() - 1
        });
        u16::try_from(index).map_err(|_| Errno::ENOMEM)
    }

    fn for_each(&mut self, span: Span, mut change: impl FnMut(&mut Frame)) {
        for at in span.page_starts() {
            if let Some(frame) = self.frame_mut(at) {
                change(frame);
            }
        }
    }

    fn frame_mut(&mut self, at: u64) -> Option<&mut Frame> {
        if at >= self.whole.end {
            return None;
        }
        let (chunk, index) = place(at);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let frames = self.chunks.get_mut(chunk)?.get_or_insert_with(new_chunk);
        frames.get_mut(index)
    }
}

fn new_chunk() -> Box<[Frame]> {
    let free = Frame { refs: 0, payer: 0, kind: Kind::Anonymous };
    vec![free; usize::try_from(CHUNK_PAGES).unwrap_or(0)].into_boxed_slice()
}

/// Chunk and index of the page at `at`.
fn place(at: u64) -> (usize, usize) {
    let page = at / PAGE_SIZE;
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    (number(page / CHUNK_PAGES), number(page % CHUNK_PAGES))
}
