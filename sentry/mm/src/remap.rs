//! mremap(2).

use abi::{Errno, UserAddr};

use crate::{
    MemoryManager, RemapFlags, Span,
    batch::Batch,
    manager::{Lost, Removed, State},
    map::checked_span,
    segments::Piece,
    vma::{MAX_VMAS, USER, Vma, round_len},
};

impl MemoryManager {
    /// mremap(2).
    ///
    /// # Errors
    ///
    /// As mremap(2).
    pub fn remap(
        &self,
        addr: UserAddr,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
    ) -> Result<UserAddr, Errno> {
        check_flags(addr, old_len, new_len, flags)?;
        let old = Span::from_len(addr.get(), round_len(old_len).ok_or(Errno::EINVAL)?);
        let new_len = round_len(new_len).ok_or(Errno::ENOMEM)?;
        let (to, locked, mut removed) = {
            let mut state = self.state().lock();
            let (area, vma) = state.vmas.segments().at(old.start).ok_or(Errno::EFAULT)?;
            if old.end > area.end {
                return Err(Errno::EFAULT);
            }
            let vma = vma.skip(old.start - area.start);
            let locked = vma.locked;
            let mut removed = Vec::new();
            let to = self.resize(&mut state, old, new_len, &vma, flags, &mut removed)?;
            (to, locked, removed)
        };
        removed.clear();
        if locked && new_len > old.len() {
            let _ = self.populate(to);
        }
        Ok(UserAddr::new(to.start))
    }

    fn resize(
        &self,
        state: &mut State,
        old: Span,
        new_len: u64,
        vma: &Vma,
        flags: RemapFlags,
        removed: &mut Vec<Removed>,
    ) -> Result<Span, Errno> {
        if state.vmas.segments().count() + 4 > MAX_VMAS {
            return Err(Errno::ENOMEM);
        }
        if old.is_empty() {
            // The old form of asking for the same pages once more.
            if !vma.shared || !flags.may_move {
                return Err(Errno::EINVAL);
            }
            self.check_growth(state, vma, new_len)?;
            let to = self.target(state, new_len, flags, removed)?;
            state.vmas.insert(to, vma.clone());
            return Ok(to);
        }
        let grows_by = new_len.saturating_sub(old.len());
        if flags.fixed.is_some() || flags.dont_unmap {
            let added = if flags.dont_unmap { new_len } else { grows_by };
            self.check_growth(state, vma, added)?;
            let to = self.target(state, new_len, flags, removed)?;
            return self.relocate(state, old, to, vma, flags, removed);
        }
        if new_len <= old.len() {
            let tail = Span::new(old.start + new_len, old.end);
            if !tail.is_empty() {
                removed.push(self.clear(state, tail)?);
            }
            return Ok(Span::from_len(old.start, new_len));
        }
        self.check_growth(state, vma, grows_by)?;
        let more = Span::from_len(old.end, grows_by);
        let at_end = state.vmas.segments().at(old.end - 1).is_some_and(|(a, _)| a.end == old.end);
        if at_end && more.intersect(USER) == more && state.vmas.is_free(more) {
            state.vmas.insert(more, vma.skip(old.len()));
            return Ok(Span::from_len(old.start, new_len));
        }
        if !flags.may_move {
            return Err(Errno::ENOMEM);
        }
        let to = self.target(state, new_len, flags, removed)?;
        self.relocate(state, old, to, vma, flags, removed)
    }

    fn check_growth(&self, state: &State, vma: &Vma, len: u64) -> Result<(), Errno> {
        if let Some(file) = &vma.file {
            let end = file.offset.checked_add(len).filter(|end| *end <= i64::MAX as u64);
            end.ok_or(Errno::EINVAL)?;
        }
        self.check_limits(state, vma, len, 0)
    }

    /// The new place, made free.
    fn target(
        &self,
        state: &mut State,
        len: u64,
        flags: RemapFlags,
        removed: &mut Vec<Removed>,
    ) -> Result<Span, Errno> {
        let Some(addr) = flags.fixed else {
            return state.vmas.place(len, &state.layout).ok_or(Errno::ENOMEM);
        };
        let to = Span::from_len(addr.get(), len);
        removed.push(self.clear(state, to)?);
        Ok(to)
    }

    /// Moves the mapping and its pages, as far as they fit.
    fn relocate(
        &self,
        state: &mut State,
        old: Span,
        to: Span,
        vma: &Vma,
        flags: RemapFlags,
        removed: &mut Vec<Removed>,
    ) -> Result<Span, Errno> {
        let kept = Span::from_len(old.start, old.len().min(to.len()));
        let tail = Span::new(kept.end, old.end);
        if !tail.is_empty() {
            removed.push(self.clear(state, tail)?);
        }
        if !flags.dont_unmap {
            // What is dropped here lives on in `vma`.
            state.vmas.take(kept).clear();
        }
        state.vmas.insert(to, vma.clone());
        self.move_pages(state, kept, to.start)?;
        Ok(to)
    }

    fn move_pages(&self, state: &mut State, from: Span, to: u64) -> Result<(), Lost> {
        let pages = state.pmas.take(from);
        let mut batch = Batch::default();
        for (span, pma) in &pages {
            if pma.is_mapped() {
                batch.unmap(*span);
            }
        }
        for (span, pma) in pages {
            let target = Span::from_len(to + (span.start - from.start), span.len());
            batch.map(target, &pma);
            state.pmas.insert(target, pma);
        }
        self.commit(state, batch)
    }
}

fn check_flags(addr: UserAddr, old_len: u64, new_len: u64, flags: RemapFlags) -> Result<(), Errno> {
    if !addr.is_page_aligned() || new_len == 0 {
        return Err(Errno::EINVAL);
    }
    let moves = flags.fixed.is_some() || flags.dont_unmap;
    if moves && !flags.may_move || flags.dont_unmap && old_len != new_len {
        return Err(Errno::EINVAL);
    }
    let Some(to) = flags.fixed else { return Ok(()) };
    let to = checked_span(to, new_len, Errno::EINVAL)?;
    let old = Span::from_len(addr.get(), round_len(old_len).ok_or(Errno::EINVAL)?);
    if to.start < USER.start || to.overlaps(old) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
