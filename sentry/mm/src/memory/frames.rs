//! Pages with a holder.

use std::sync::Arc;

use crate::{Memory, Span};

/// Contiguous pages of the memory object that the holder keeps; given back on drop.
#[derive(Debug, state::Save, state::Load)]
pub struct Frames {
    memory: Arc<Memory>,
    span: Span,
}

impl Frames {
    pub(super) fn new(memory: Arc<Memory>, span: Span) -> Self {
        Self { memory, span }
    }

    /// Where they begin in the memory object.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.span.start
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.span.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.is_empty()
    }

    /// The memory they are part of.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Copies out, from `at` bytes behind their start; returns how many bytes there were.
    #[must_use]
    pub fn read(&self, at: u64, to: &mut [u8]) -> usize {
        let len = self.within(at, to.len());
        if let Some(to) = to.get_mut(..len) {
            self.memory.read(self.span.start + at, to);
        }
        len
    }

    /// Copies in, at `at` bytes behind their start; returns how many bytes had room.
    #[must_use]
    pub fn write(&self, at: u64, from: &[u8]) -> usize {
        let len = self.within(at, from.len());
        if let Some(from) = from.get(..len) {
            self.memory.write(self.span.start + at, from);
        }
        len
    }

    fn within(&self, at: u64, len: usize) -> usize {
        let room = usize::try_from(self.len().saturating_sub(at)).unwrap_or(usize::MAX);
        len.min(room)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.memory.release(&[self.span]);
    }
}
