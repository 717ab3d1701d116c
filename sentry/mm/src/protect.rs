//! mprotect(2).

use abi::{Errno, UserAddr};
use platform::Protection;

use crate::{
    MemoryManager, Span,
    batch::Batch,
    manager::{Lost, State},
    map::checked_span,
    pma::Pma,
    vma::Vma,
};

impl MemoryManager {
    /// mprotect(2).
    ///
    /// # Errors
    ///
    /// As mprotect(2).
    pub fn protect(&self, addr: UserAddr, len: u64, protection: Protection) -> Result<(), Errno> {
        if len == 0 && addr.is_page_aligned() {
            return Ok(());
        }
        let span = checked_span(addr, len, Errno::ENOMEM)?;
        self.protect_span(&mut self.state().lock(), span, protection)
    }

    /// mprotect(2) with `PROT_GROWSDOWN`: the change reaches down to the start of the stack that
    /// `addr` lies in.
    ///
    /// # Errors
    ///
    /// As mprotect(2); `EINVAL` if there is no stack.
    pub fn protect_stack(
        &self,
        addr: UserAddr,
        len: u64,
        protection: Protection,
    ) -> Result<(), Errno> {
        let span = checked_span(addr, len, Errno::ENOMEM)?;
        let mut state = self.state().lock();
        let (found, vma) = state.vmas.segments().at(span.start).ok_or(Errno::ENOMEM)?;
        if !vma.grows_down {
            return Err(Errno::EINVAL);
        }
        let whole = Span::new(found.start, span.end);
        self.protect_span(&mut state, whole, protection)
    }

    /// As Linux, goes up to the first hole or forbidden mapping, then fails.
    fn protect_span(
        &self,
        state: &mut State,
        span: Span,
        protection: Protection,
    ) -> Result<(), Errno> {
        if !state.vmas.can_cut(span) {
            return Err(Errno::ENOMEM);
        }
        let (done, result) = allowed_part(state, span, protection);
        state.vmas.update(done, |vma| vma.protection = protection);
        self.set_rights(state, done)?;
        result
    }

    /// Gives the present pages of `span` the rights that their mappings have now.
    fn set_rights(&self, state: &mut State, span: Span) -> Result<(), Lost> {
        let mut batch = Batch::default();
        let mut changed = Vec::new();
        for (area, vma) in state.vmas.segments().clipped(span) {
            for (part, pma) in state.pmas.segments().clipped(area) {
                let rights = self.rights_now(part, &pma, &vma);
                if rights == pma.protection || !pma.is_mapped() {
                    // What is not mapped stays so until it is touched.
                    if pma.is_mapped() {
                        batch.skip();
                    }
                    continue;
                }
                if rights == Protection::NONE {
                    batch.unmap(part);
                } else {
                    batch.protect(part, rights);
                }
                changed.push((part, rights));
            }
        }
        changed.into_iter().for_each(|(part, rights)| state.pmas.set_rights(part, rights));
        self.commit(state, batch)
    }

    fn rights_now(&self, span: Span, pma: &Pma, vma: &Vma) -> Protection {
        let asks = vma.protection.write && !vma.shared && pma.is_own();
        let exclusive = asks
            && (pma.protection.write
                || pma.frames(span.len()).is_some_and(|f| self.memory().is_exclusive(f)));
        pma.rights(vma, exclusive)
    }
}

/// How much of `span` may be given `protection`, and what to answer for the rest.
fn allowed_part(state: &State, span: Span, protection: Protection) -> (Span, Result<(), Errno>) {
    let mut end = span.start;
    for (found, vma) in state.vmas.segments().overlapping(span) {
        let done = Span::new(span.start, end);
        if found.start > end {
            return (done, Err(Errno::ENOMEM));
        }
        let max = vma.max_protection;
        let too_much = protection.read && !max.read
            || protection.write && !max.write
            || protection.execute && !max.execute;
        if too_much {
            return (done, Err(Errno::EACCES));
        }
        end = found.end.min(span.end);
    }
    let result = if end < span.end { Err(Errno::ENOMEM) } else { Ok(()) };
    (Span::new(span.start, end), result)
}
