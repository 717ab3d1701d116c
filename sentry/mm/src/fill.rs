//! Pages that are absent: fresh ones, those of objects, private copies of those.

use std::sync::Arc;

use platform::{Backing, Protection};

use crate::{
    Fault, Kind, MapError, MemoryManager, Span, Translation,
    batch::Batch,
    fault::{Touch, Trouble, fault_of},
    manager::State,
    memory::Content,
    pma::{Pma, advance, continues},
    vma::FilePart,
    window,
};

impl MemoryManager {
    /// Brings in a page that is absent.
    pub(crate) fn fill(&self, state: &mut State, touch: &Touch) -> Result<(), Trouble> {
        let hole = state.pmas.segments().hole_around(touch.page.start, touch.span);
        let Some(file) = &touch.vma.file else {
            return Ok(self.fill_anonymous(state, touch, hole)?);
        };
        if touch.writes() && !touch.vma.shared {
            return self.copy_from_file(state, touch, hole.end, file);
        }
        let ahead = Span::from_len(touch.page.start, window::MAP_AHEAD);
        let (found, _) = translate(touch, file, hole.end.min(ahead.end), touch.writes())?;
        let (span, backing) = widen(touch, hole, file, &found);
        self.fill_translated(state, touch, span, backing, &found)
    }

    /// Makes private copies of the page touched and, up to `end`, some that follow.
    pub(crate) fn copy_from_file(
        &self,
        state: &mut State,
        touch: &Touch,
        end: u64,
        file: &FilePart,
    ) -> Result<(), Trouble> {
        let (found, there) = translate(touch, file, end, false)?;
        let copied = window::to_copy(touch.page, there);
        Ok(self.copy(state, touch, copied, &found.backing)?)
    }

    fn fill_anonymous(&self, state: &mut State, touch: &Touch, hole: Span) -> Result<(), Fault> {
        let before =
            if hole.start > touch.span.start { state.pmas.own_before(hole.start) } else { 0 };
        let window = window::to_allocate(touch.page, hole, before);
        let (span, frames) = self.allocate(window, touch.page, Content::Zero)?;
        let mut pma = Pma::own(frames, Protection::NONE);
        pma.protection = pma.rights(&touch.vma, true);
        let mut batch = Batch::default();
        batch.map(span, &pma);
        state.pmas.insert(span, pma);
        Ok(self.commit(state, batch)?)
    }

    pub(crate) fn fill_translated(
        &self,
        state: &mut State,
        touch: &Touch,
        span: Span,
        backing: Backing,
        found: &Translation,
    ) -> Result<(), Trouble> {
        let kind = touch.vma.file.as_ref().map_or(Kind::File, |file| {
            if file.mapped.mappable.is_shmem() { Kind::Shmem } else { Kind::File }
        });
        let writable = found.writable;
        let mut pma = Pma { backing, protection: Protection::NONE, kind, writable };
        pma.protection = pma.rights(&touch.vma, false);
        self.memory().retain(pma.frames(span.len()).as_slice());
        let mut batch = Batch::default();
        for (part, old) in state.pmas.take(span) {
            batch.free(part, &old);
        }
        batch.map(span, &pma);
        state.pmas.insert(span, pma);
        Ok(self.commit(state, batch)?)
    }

    /// Replaces `span` by private pages with the content of `source`.
    pub(crate) fn copy(
        &self,
        state: &mut State,
        touch: &Touch,
        span: Span,
        source: &Backing,
    ) -> Result<(), Fault> {
        let (copied, frames) = self.allocate(span, touch.page, Content::Any)?;
        let source = advance(source, copied.start - span.start);
        if let Err(fault) = self.copy_content(&source, frames) {
            self.memory().release(&[frames]);
            return Err(fault);
        }
        let mut pma = Pma::own(frames, Protection::NONE);
        pma.protection = pma.rights(&touch.vma, true);
        let mut batch = Batch::default();
        for (part, old) in state.pmas.take(copied) {
            batch.free(part, &old);
        }
        batch.map(copied, &pma);
        state.pmas.insert(copied, pma);
        Ok(self.commit(state, batch)?)
    }

    /// Fills `frames` from `source`. Reading a host file may wait for the disk.
    fn copy_content(&self, source: &Backing, frames: Span) -> Result<(), Fault> {
        let len = usize::try_from(frames.len()).map_err(|_| Fault::NoMemory)?;
        match source {
            Backing::Memory { offset } => {
                self.memory().object().copy(*offset, frames.start, len);
            }
            Backing::File { file, offset } => {
                let mut content = vec![0; len];
                let read = file.read_at(&mut content, *offset).map_err(|_| Fault::BeyondEnd)?;
                if read == 0 {
                    return Err(Fault::BeyondEnd);
                }
                self.memory().write(frames.start, &content);
            }
        }
        Ok(())
    }

    /// Allocates private pages for `window` or, when memory is short, for `page` alone.
    fn allocate(&self, window: Span, page: Span, content: Content) -> Result<(Span, Span), Fault> {
        let take = |span: Span| {
            let frames = self.memory().take(span.pages(), self.charge(), Kind::Anonymous, content);
            frames.map(|frames| (span, frames))
        };
        take(window).or_else(|_| take(page)).map_err(|_| Fault::NoMemory)
    }
}

/// Asks what lies behind the page touched and, up to `end`, behind those that follow; does not
/// believe more than was asked.
pub(crate) fn translate(
    touch: &Touch,
    file: &FilePart,
    end: u64,
    write: bool,
) -> Result<(Translation, Span), Trouble> {
    let mappable = &file.mapped.mappable;
    let (page, offset) = (touch.page.start, touch.file_offset(touch.page.start));
    let len = end - page;
    let found = match mappable.translate(offset, len, write) {
        Ok(found) => found,
        Err(MapError::NotLoaded) => {
            return Err(Trouble::Load(Arc::clone(mappable), offset, len));
        }
        Err(error) => return Err(fault_of(error).into()),
    };
    let len = crate::span::page_down(found.len.min(len));
    if len == 0 {
        return Err(Fault::BeyondEnd.into());
    }
    Ok((Translation { len, ..found }, Span::from_len(page, len)))
}

/// Adds the pages before the one touched, where a host file lies behind all of them: mapping them
/// costs nothing more.
fn widen(touch: &Touch, hole: Span, file: &FilePart, found: &Translation) -> (Span, Backing) {
    let (page, here) = (touch.page.start, Span::from_len(touch.page.start, found.len));
    let plain = || (here, advance(&found.backing, 0));
    let block = Span::from_len(page - page % window::MAP_AHEAD, window::MAP_AHEAD);
    let before = Span::new(block.intersect(hole).start, page);
    if before.is_empty() || !matches!(found.backing, Backing::File { .. }) {
        return plain();
    }
    match file.mapped.mappable.translate(touch.file_offset(before.start), before.len(), false) {
        Ok(first)
            if first.len >= before.len()
                && first.writable == found.writable
                && continues(&first.backing, before.len(), &found.backing) =>
        {
            (Span::new(before.start, here.end), first.backing)
        }
        _ => plain(),
    }
}
