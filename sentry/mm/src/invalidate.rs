//! Pages of objects that go away: truncation and hole punching.

use crate::{Copies, MemoryManager, Span, batch::Batch, manager::State};

impl MemoryManager {
    /// Takes out the pages of `file_range` that were mapped through the mapping `id`.
    pub(crate) fn invalidate(&self, id: u64, file_range: Span, copies: Copies) {
        let mut state = self.state().lock();
        let mut batch = Batch::default();
        for area in areas(&state, id, file_range) {
            let parts: Vec<(Span, bool)> = state
                .pmas
                .segments()
                .clipped(area)
                .map(|(part, pma)| (part, pma.is_own() && copies == Copies::Keep))
                .collect();
            for (part, keep) in parts {
                if keep {
                    batch.skip();
                } else {
                    batch.remove(&state.pmas.take(part));
                }
            }
            // What lies before the next area was not looked at.
            batch.skip();
        }
        // A lost space is found out by whoever runs in it next.
        let _ = self.commit(&mut state, batch);
    }
}

/// The addresses at which `file_range` is mapped through `id`.
fn areas(state: &State, id: u64, file_range: Span) -> Vec<Span> {
    let mapped = state.vmas.segments().iter().filter_map(|(span, vma)| {
        let file = vma.file.as_ref().filter(|file| file.mapped.handle.id() == id)?;
        let part = Span::from_len(file.offset, span.len()).intersect(file_range);
        if part.is_empty() {
            return None;
        }
        Some(Span::from_len(span.start + (part.start - file.offset), part.len()))
    });
    mapped.collect()
}
