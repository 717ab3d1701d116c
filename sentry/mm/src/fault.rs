//! What to do when application code touches a page that is absent or forbids the access.

use std::sync::Arc;

use abi::{PAGE_SIZE, UserAddr};
use platform::{Access, Backing, Protection};

use crate::{
    Kind, MapError, Mappable, MemoryManager, STACK_GUARD_BYTES, Span, Translation,
    batch::Batch,
    manager::{Lost, State},
    memory::Content,
    pma::{Pma, advance, continues},
    segments::Piece,
    vma::{FilePart, USER, Vma},
    window,
};

/// Why a fault can't be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// The mapping forbids it: SIGSEGV, `SEGV_ACCERR`.
    Denied,
    /// The file ends before the page, or could not be read: SIGBUS, `BUS_ADRERR`.
    BeyondEnd,
    /// Only the exact access decides: ask [`platform::Context::exact_access`] and call again.
    NeedExactAccess,
    /// No memory is left: the out-of-memory killer's turn.
    NoMemory,
    /// The address space is lost: kill the process.
    Lost,
}

impl From<Lost> for Fault {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// Why a fault is not repaired yet.
enum Trouble {
    Fault(Fault),
    /// This has to be loaded first, without the lock.
    Load(Arc<dyn Mappable>, u64, u64),
}

impl<E: Into<Fault>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// How often a page may have to be loaded for one fault: it can be taken away again in between.
const MAX_LOADS: usize = 16;

/// How far below a stack an access makes it grow at once, where limits allow.
const STACK_STEP: u64 = 16 * PAGE_SIZE;

/// One fault.
struct Touch {
    page: Span,
    access: Access,
    /// The mapping that was touched, and where it lies.
    vma: Vma,
    span: Span,
}

impl Touch {
    /// What is to be brought in must be writable: it is written, or may be and perhaps is.
    fn writes(&self) -> bool {
        match self.access {
            Access::Write => true,
            Access::Unknown => self.vma.protection.write,
            Access::Read | Access::Execute => false,
        }
    }

    /// Where the page at `at` lies in the object.
    fn file_offset(&self, at: u64) -> u64 {
        self.vma.file_offset(self.span.start, at)
    }
}

impl MemoryManager {
    /// Repairs a fault, if the mapping allows the access. May wait.
    ///
    /// # Errors
    ///
    /// See [`Fault`].
    pub fn fault(&self, addr: UserAddr, access: Access) -> Result<(), Fault> {
        for _ in 0..MAX_LOADS {
            let trouble = self.repair(&mut self.state().lock(), addr.get(), access);
            let (mappable, offset, len) = match trouble {
                Ok(()) => return Ok(()),
                Err(Trouble::Fault(fault)) => return Err(fault),
                Err(Trouble::Load(mappable, offset, len)) => (mappable, offset, len),
            };
            mappable.load(offset, len).map_err(fault_of)?;
        }
        Err(Fault::BeyondEnd)
    }

    fn repair(&self, state: &mut State, at: u64, access: Access) -> Result<(), Trouble> {
        if state.lost {
            return Err(Fault::Lost.into());
        }
        let (span, vma) = match state.vmas.segments().at(at) {
            Some((span, vma)) => (span, vma.clone()),
            None => self.grow_stack(state, at)?,
        };
        if !allows(vma.protection, access) {
            return Err(Fault::Denied.into());
        }
        let touch = Touch { page: Span::page(at), access, vma, span };
        match state.pmas.segments().at(at) {
            Some((span, pma)) => {
                let pma = pma.clone();
                self.raise(state, &touch, span, &pma)
            }
            None => self.fill(state, &touch),
        }
    }

    /// Makes the stack above `at` reach down to it.
    fn grow_stack(&self, state: &mut State, at: u64) -> Result<(Span, Vma), Fault> {
        let (stack, vma) = state.vmas.segments().from(at).ok_or(Fault::NotMapped)?;
        if !vma.grows_down || at < USER.start {
            return Err(Fault::NotMapped);
        }
        let vma = vma.clone();
        let before = state.vmas.segments().up_to(at);
        let lowest = before.map_or(USER.start, |(before, vma)| {
            let guard = if vma.is_accessible() { STACK_GUARD_BYTES } else { 0 };
            before.end.saturating_add(guard)
        });
        let lowest = lowest.max(stack.end.saturating_sub(state.limits.stack));
        let page = Span::page(at).start;
        let generous = (page - page % STACK_STEP).max(crate::span::page_up(lowest).unwrap_or(page));
        let start = generous.min(page);
        let grown = Span::new(start, stack.start);
        if page < lowest || self.check_limits(state, &vma, grown.len(), 0).is_err() {
            return Err(Fault::NotMapped);
        }
        state.vmas.insert(grown, vma);
        let (span, vma) = state.vmas.segments().at(at).ok_or(Fault::NotMapped)?;
        Ok((span, vma.clone()))
    }

    /// Brings in a page that is absent.
    fn fill(&self, state: &mut State, touch: &Touch) -> Result<(), Trouble> {
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
    fn copy_from_file(
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

    fn fill_translated(
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

    /// Gives more rights to a page that is present, as `pma` in `there`.
    fn raise(
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

    /// Replaces `span` by private pages with the content of `source`.
    fn copy(
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

/// True if `protection` allows `access`. Whatever gives a right lets pages be read, on x86.
fn allows(protection: Protection, access: Access) -> bool {
    match access {
        Access::Read | Access::Unknown => protection != Protection::NONE,
        Access::Write => protection.write,
        Access::Execute => protection.execute,
    }
}

fn fault_of(error: MapError) -> Fault {
    match error {
        MapError::BeyondEnd | MapError::Io | MapError::NotLoaded => Fault::BeyondEnd,
        MapError::NoMemory => Fault::NoMemory,
    }
}

/// Asks what lies behind the page touched and, up to `end`, behind those that follow; does not
/// believe more than was asked.
fn translate(
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
