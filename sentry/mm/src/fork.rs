//! The copy of an address space for a child.

use std::{collections::BTreeMap, sync::Arc};

use abi::Errno;
use platform::{Change, Protection};

use crate::{
    MemoryManager, Span,
    batch::Batch,
    manager::{Lost, State},
    pma::{Pma, addresses},
    vma::{FilePart, USER, Vma},
};

impl MemoryManager {
    /// Makes a copy for a child: private pages are shared until one of both writes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        let mut state = self.state().lock();
        self.drop_write_rights(&mut state)?;
        let pages = inherited_pages(&state);
        let frames: Vec<Span> =
            pages.iter().filter_map(|(span, pma)| pma.frames(span.len())).collect();
        // Before the copy exists: from then on it has these pages mapped.
        self.memory().retain(&frames);
        let space = self.space().fork().map_err(|error| {
            tracing::warn!(%error, mm = self.id(), "space not copied");
            self.memory().release(&frames);
            Errno::ENOMEM
        })?;
        let child = Arc::new(Self::with_space(space, self.memory(), self.charge()));
        child.inherit(&state, pages);
        let unmap = not_inherited(&state);
        drop(state);
        if !unmap.is_empty() {
            child.space().apply(&unmap).map_err(|error| {
                tracing::warn!(%error, "space not trimmed");
                Errno::ENOMEM
            })?;
        }
        Ok(child)
    }

    /// Makes all private pages that the child gets read-only, in one batch.
    fn drop_write_rights(&self, state: &mut State) -> Result<(), Lost> {
        let mut batch = Batch::default();
        let mut changed = Vec::new();
        for (area, vma) in state.vmas.segments().iter() {
            let inherited = !vma.dont_fork && !vma.wipe_on_fork;
            for (part, pma) in state.pmas.segments().clipped(area) {
                if inherited && pma.is_own() && pma.protection.write {
                    let rights = Protection { write: false, ..pma.protection };
                    batch.protect(part, rights);
                    changed.push((part, rights));
                } else if pma.is_mapped() {
                    batch.skip();
                }
            }
        }
        changed.into_iter().for_each(|(part, rights)| state.pmas.set_rights(part, rights));
        self.commit(state, batch)
    }

    /// Takes over what `parent` has; `pages` are held for this already.
    fn inherit(self: &Arc<Self>, parent: &State, pages: Vec<(Span, Pma)>) {
        let mut state = self.state().lock();
        state.layout = parent.layout;
        state.limits = parent.limits;
        state.heap = parent.heap;
        let mut objects = BTreeMap::new();
        for (span, vma) in parent.vmas.segments().iter().filter(|(_, vma)| !vma.dont_fork) {
            let file = vma.file.as_ref().map(|file| {
                let mapped = objects.entry(file.mapped.handle.id()).or_insert_with(|| {
                    let may_write = file.mapped.handle.may_write();
                    self.register(Arc::clone(&file.mapped.mappable), may_write)
                });
                FilePart { mapped: Arc::clone(mapped), offset: file.offset }
            });
            state.vmas.insert(span, Vma { file, locked: false, ..vma.clone() });
        }
        pages.into_iter().for_each(|(span, pma)| state.pmas.insert(span, pma));
    }
}

/// The present pages that a child shares.
fn inherited_pages(state: &State) -> Vec<(Span, Pma)> {
    let areas = state.vmas.segments().iter().filter(|(_, vma)| !vma.dont_fork && !vma.wipe_on_fork);
    areas.flat_map(|(area, _)| state.pmas.segments().clipped(area)).collect()
}

/// What the copied space maps although the child does not have it.
fn not_inherited(state: &State) -> Vec<Change> {
    let areas = state.vmas.segments().iter().filter(|(_, vma)| vma.dont_fork || vma.wipe_on_fork);
    let areas = areas.filter(|(area, _)| state.pmas.segments().overlapping(*area).next().is_some());
    areas.map(|(area, _)| Change::Unmap { range: addresses(area.intersect(USER)) }).collect()
}
