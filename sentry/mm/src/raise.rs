//! Pages that are present, but not with the right that an access needs: copy on write, first
//! writes to shared pages, rights that were never given.

use platform::{Access, Protection};

use crate::{
    Fault, MemoryManager, Span,
    batch::Batch,
    fault::{Touch, Trouble},
    fill::translate,
    manager::{Lost, State},
    pma::{Pma, advance},
    segments::Piece,
    window,
};

impl MemoryManager {
    /// Gives more rights to a page that is present, as `pma` in `there`.
    pub(crate) fn raise(
        &self,
        state: &mut State,
        touch: &Touch,
        there: Span,
        pma: &Pma,
    ) -> Result<(), Trouble> {
        let whole = there.intersect(touch.span);
        let pma = pma.skip(whole.start - there.start);
        if !touch.writes() || pma.protection.write {
            return Ok(self.raise_read(state, touch, whole, &pma)?);
        }
        if touch.vma.shared {
            return self.raise_shared(state, touch, whole, &pma);
        }
        if let Some(file) = touch.vma.file.as_ref().filter(|_| !pma.is_own()) {
            return self.copy_from_file(state, touch, whole.end, file);
        }
        Ok(self.raise_own(state, touch, whole, &pma)?)
    }

    /// Private pages are to be written: those that nobody else holds are the task's own again,
    /// others are copied.
    fn raise_own(
        &self,
        state: &mut State,
        touch: &Touch,
        whole: Span,
        pma: &Pma,
    ) -> Result<(), Fault> {
        let near = window::to_grant(touch.page, whole);
        let frames = pma.skip(near.start - whole.start).frames(near.len()).unwrap_or_default();
        let at = frames.start + (touch.page.start - near.start);
        let run = self.memory().run_around(at, frames, true);
        if !run.is_empty() {
            let span = Span::from_len(near.start + (run.start - frames.start), run.len());
            let rights = pma.rights(&touch.vma, true);
            return Ok(self.grant(state, span, whole, pma, rights)?);
        }
        let copied = window::to_copy(touch.page, whole);
        let source = advance(&pma.backing, copied.start - whole.start);
        self.copy(state, touch, copied, &source)
    }

    /// The access was not a write, or the page is writable already: either the page is not mapped
    /// with all its rights, or another task was faster, or it is forbidden.
    fn raise_read(
        &self,
        state: &mut State,
        touch: &Touch,
        whole: Span,
        pma: &Pma,
    ) -> Result<(), Fault> {
        let rights = pma.rights(&touch.vma, pma.protection.write);
        if rights != pma.protection {
            return Ok(self.grant(state, whole, whole, pma, rights)?);
        }
        match touch.access {
            Access::Unknown => Err(Fault::NeedExactAccess),
            Access::Read | Access::Write | Access::Execute => Ok(()),
        }
    }

    fn raise_shared(
        &self,
        state: &mut State,
        touch: &Touch,
        whole: Span,
        pma: &Pma,
    ) -> Result<(), Trouble> {
        if pma.writable {
            let rights = pma.rights(&touch.vma, false);
            return Ok(self.grant(state, whole, whole, pma, rights)?);
        }
        let Some(file) = &touch.vma.file else { return Err(Fault::Denied.into()) };
        let (found, span) = translate(touch, file, whole.end, true)?;
        if !found.writable {
            return Err(Fault::Denied.into());
        }
        let backing = advance(&found.backing, 0);
        self.fill_translated(state, touch, span, backing, &found)
    }

    /// Gives `span`, a part of `whole`, which is backed by `pma`, other rights.
    fn grant(
        &self,
        state: &mut State,
        span: Span,
        whole: Span,
        pma: &Pma,
        rights: Protection,
    ) -> Result<(), Lost> {
        let mut batch = Batch::default();
        if pma.is_mapped() {
            batch.protect(span, rights);
        } else {
            let part = Pma { protection: rights, ..pma.skip(span.start - whole.start) };
            batch.map(span, &part);
        }
        state.pmas.set_rights(span, rights);
        self.commit(state, batch)
    }
}
