//! madvise(2) and msync(2).

use std::sync::Arc;

use abi::{Errno, UserAddr};

use crate::{Advice, Mappable, MemoryManager, Span, manager::State, map::checked_span, vma::Vma};

/// A part of an object.
type FileRange = (Arc<dyn Mappable>, Span);

impl MemoryManager {
    /// madvise(2).
    ///
    /// # Errors
    ///
    /// As madvise(2).
    pub fn advise(&self, addr: UserAddr, len: u64, advice: Advice) -> Result<(), Errno> {
        if len == 0 && addr.is_page_aligned() {
            return Ok(());
        }
        let span = checked_span(addr, len, Errno::EINVAL)?;
        let whole = self.state().lock().vmas.segments().covers(span);
        self.advise_span(span, advice)?;
        // As Linux: what is mapped has been treated, holes are reported at the end.
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn advise_span(&self, span: Span, advice: Advice) -> Result<(), Errno> {
        match advice {
            Advice::DontNeed => self.discard(span, |_| true),
            Advice::Free => self.discard(span, |vma| vma.file.is_none()),
            Advice::Remove => self.punch(span),
            Advice::PopulateRead | Advice::PopulateWrite => self.populate_as(span, advice),
            Advice::DontFork => self.mark(span, |vma| vma.dont_fork = true),
            Advice::DoFork => self.mark(span, |vma| vma.dont_fork = false),
            Advice::DontDump => self.mark(span, |vma| vma.dont_dump = true),
            Advice::DoDump => self.mark(span, |vma| vma.dont_dump = false),
            Advice::KeepOnFork => self.mark(span, |vma| vma.wipe_on_fork = false),
            Advice::WipeOnFork => {
                let any_file = |state: &State| {
                    state.vmas.segments().overlapping(span).any(|(_, vma)| vma.file.is_some())
                };
                if any_file(&self.state().lock()) {
                    return Err(Errno::EINVAL);
                }
                self.mark(span, |vma| vma.wipe_on_fork = true)
            }
            // Hints that nothing here would act on.
            Advice::Normal
            | Advice::Random
            | Advice::Sequential
            | Advice::WillNeed
            | Advice::HugePage
            | Advice::NoHugePage
            | Advice::Cold
            | Advice::PageOut => Ok(()),
        }
    }

    fn mark(&self, span: Span, change: impl FnMut(&mut Vma)) -> Result<(), Errno> {
        let mut state = self.state().lock();
        if !state.vmas.can_cut(span) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.update(span, change);
        Ok(())
    }

    /// Takes the present pages away; private ones read as zero (or as the file) afterwards.
    fn discard(&self, span: Span, allowed: impl Fn(&Vma) -> bool) -> Result<(), Errno> {
        let mut state = self.state().lock();
        let mut areas = state.vmas.segments().overlapping(span);
        if areas.any(|(_, vma)| vma.locked || !allowed(vma)) {
            return Err(Errno::EINVAL);
        }
        drop(areas);
        Ok(self.evict(&mut state, span)?)
    }

    fn punch(&self, span: Span) -> Result<(), Errno> {
        let allowed = |vma: &Vma| vma.shared && vma.max_protection.write && !vma.locked;
        let ranges = {
            let state = self.state().lock();
            if !state.vmas.segments().overlapping(span).all(|(_, vma)| allowed(vma)) {
                return Err(Errno::EINVAL);
            }
            file_ranges(&state, span)
        };
        ranges.into_iter().try_for_each(|(mappable, range)| mappable.punch_hole(range))
    }

    fn populate_as(&self, span: Span, advice: Advice) -> Result<(), Errno> {
        use platform::Access;
        let access = if advice == Advice::PopulateWrite { Access::Write } else { Access::Read };
        let areas: Vec<Span> = {
            let state = self.state().lock();
            state.vmas.segments().clipped(span).map(|(area, _)| area).collect()
        };
        areas.into_iter().try_for_each(|area| self.touch_all(area, access)).map_err(|fault| {
            match fault {
                crate::Fault::Denied => Errno::EINVAL,
                crate::Fault::BeyondEnd => Errno::EFAULT,
                _ => Errno::ENOMEM,
            }
        })
    }

    /// msync(2); `wait` is `MS_SYNC`, `invalidate` is `MS_INVALIDATE`. May wait.
    ///
    /// # Errors
    ///
    /// As msync(2).
    pub fn sync(
        &self,
        addr: UserAddr,
        len: u64,
        wait: bool,
        invalidate: bool,
    ) -> Result<(), Errno> {
        if len == 0 && addr.is_page_aligned() {
            return Ok(());
        }
        let span = checked_span(addr, len, Errno::ENOMEM)?;
        let (whole, ranges) = {
            let state = self.state().lock();
            let mut areas = state.vmas.segments().overlapping(span);
            if invalidate && areas.any(|(_, vma)| vma.locked) {
                return Err(Errno::EBUSY);
            }
            drop(areas);
            (state.vmas.segments().covers(span), file_ranges(&state, span))
        };
        if wait {
            ranges.into_iter().try_for_each(|(mappable, range)| mappable.msync(range))?;
        }
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

/// The parts of objects that are mapped shared in `span`.
fn file_ranges(state: &State, span: Span) -> Vec<FileRange> {
    let areas = state.vmas.segments().clipped(span).filter(|(_, vma)| vma.shared);
    let ranges = areas.filter_map(|(area, vma)| {
        let file = vma.file?;
        Some((Arc::clone(&file.mapped.mappable), Span::from_len(file.offset, area.len())))
    });
    ranges.collect()
}
