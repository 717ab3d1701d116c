//! mmap(2) and munmap(2).

use std::sync::Arc;

use abi::{Errno, UserAddr};
use platform::Access;

use crate::{
    Fault, Fixed, Limits, MapRequest, MemoryManager, SharedMemory, Span, What,
    manager::{Removed, State},
    vma::{FilePart, MAX_VMAS, USER, Vma, round_len},
};

impl MemoryManager {
    /// mmap(2).
    ///
    /// # Errors
    ///
    /// As mmap(2).
    pub fn map(self: &Arc<Self>, mut request: MapRequest) -> Result<UserAddr, Errno> {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = round_len(request.len).ok_or(Errno::ENOMEM)?;
        let what = std::mem::take(&mut request.what);
        let file = self.object_of(what, &request, len)?;
        let (span, populate, removed) = {
            let mut state = self.state().lock();
            let vma = self.vma_of(&state, &request, file);
            let (span, removed) = self.make_room(&mut state, &request, &vma, len)?;
            let on_fault = state.lock_future.is_some_and(|lock| lock.on_fault);
            let populate = request.populate || vma.locked && !on_fault;
            state.vmas.insert(span, vma);
            (span, populate, removed)
        };
        drop(removed);
        if populate {
            // As Linux: what could not be filled in is left to faults.
            let _ = self.populate(span);
        }
        Ok(UserAddr::new(span.start))
    }

    /// munmap(2).
    ///
    /// # Errors
    ///
    /// As munmap(2).
    pub fn unmap(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        let span = checked_span(addr, len, Errno::EINVAL)?;
        let removed = {
            let mut state = self.state().lock();
            if !state.vmas.can_cut(span) {
                return Err(Errno::ENOMEM);
            }
            self.clear(&mut state, span)?
        };
        drop(removed);
        Ok(())
    }

    /// Fills in all pages of `span` that may be accessed. Writable private pages are made the
    /// application's own at once.
    pub(crate) fn populate(&self, span: Span) -> Result<(), Fault> {
        let mut at = span.start;
        while let Some((part, access)) = self.next_to_populate(Span::new(at, span.end)) {
            self.touch_all(part, access)?;
            at = part.end;
        }
        Ok(())
    }

    /// Faults in each page of `span`.
    pub(crate) fn touch_all(&self, span: Span, access: Access) -> Result<(), Fault> {
        let mut at = span.start;
        while at < span.end {
            self.fault(UserAddr::new(at), access)?;
            let state = self.state().lock();
            at = state.pmas.segments().at(at).map_or(at, |(done, _)| done.end);
        }
        Ok(())
    }

    /// The first mapping in `span` that may be accessed, cut to it.
    fn next_to_populate(&self, span: Span) -> Option<(Span, Access)> {
        let state = self.state().lock();
        let mut areas = state.vmas.segments().overlapping(span);
        areas.find(|(_, vma)| vma.is_accessible()).map(|(found, vma)| {
            let write = vma.protection.write && !vma.shared;
            (found.intersect(span), if write { Access::Write } else { Access::Read })
        })
    }

    /// The object to map, with its offset; `None` for private anonymous memory.
    fn object_of(
        self: &Arc<Self>,
        what: What,
        request: &MapRequest,
        len: u64,
    ) -> Result<Option<FilePart>, Errno> {
        let (mappable, offset): (Arc<dyn crate::Mappable>, u64) = match what {
            What::Anonymous if !request.shared => return Ok(None),
            What::Anonymous => {
                let name = "/dev/zero (deleted)".to_owned();
                (SharedMemory::new(self.memory(), self.charge(), len, name), 0)
            }
            What::File { mappable, offset } => (mappable, offset),
        };
        if !offset.is_multiple_of(abi::PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        offset.checked_add(len).filter(|end| *end <= i64::MAX as u64).ok_or(Errno::EOVERFLOW)?;
        let may_write = request.shared && request.max_protection.write;
        Ok(Some(FilePart { mapped: self.register(mappable, may_write), offset }))
    }

    pub(crate) fn vma_of(
        &self,
        state: &State,
        request: &MapRequest,
        file: Option<FilePart>,
    ) -> Vma {
        Vma {
            protection: request.protection,
            max_protection: request.max_protection,
            shared: request.shared,
            grows_down: request.grows_down && file.is_none(),
            locked: request.locked || state.lock_future.is_some(),
            no_reserve: request.no_reserve,
            dont_fork: false,
            wipe_on_fork: false,
            dont_dump: false,
            name: request.name.map(Arc::from),
            file,
        }
    }

    /// Finds the place for `vma`, checks the limits and removes what is in the way.
    fn make_room(
        &self,
        state: &mut State,
        request: &MapRequest,
        vma: &Vma,
        len: u64,
    ) -> Result<(Span, Removed), Errno> {
        let span = place(state, request, len)?;
        if state.vmas.segments().count() >= MAX_VMAS || !state.vmas.can_cut(span) {
            return Err(Errno::ENOMEM);
        }
        let replaced = match request.fixed {
            Fixed::Replace => state.vmas.segments().clipped(span).map(|(part, _)| part.len()).sum(),
            Fixed::No | Fixed::NoReplace => 0,
        };
        self.check_limits(state, vma, len, replaced)?;
        let removed = if replaced > 0 { self.clear(state, span)? } else { Removed::default() };
        Ok((span, removed))
    }

    /// Checks whether `len` bytes more of what `vma` is are allowed, when `replaced` bytes go.
    pub(crate) fn check_limits(
        &self,
        state: &State,
        vma: &Vma,
        len: u64,
        replaced: u64,
    ) -> Result<(), Errno> {
        let sums = state.vmas.sums();
        let Limits { address_space, data, locked, .. } = state.limits;
        if sums.total.saturating_sub(replaced).saturating_add(len) > address_space {
            return Err(Errno::ENOMEM);
        }
        let private_writable = vma.file.is_none() && vma.protection.write;
        if private_writable && !vma.grows_down && sums.data.saturating_add(len) > data {
            return Err(Errno::ENOMEM);
        }
        // As Linux's heuristic overcommit: only what can never be had is refused.
        if private_writable && !vma.no_reserve && len > self.memory().limit_bytes() {
            return Err(Errno::ENOMEM);
        }
        if vma.locked && sums.locked.saturating_add(len) > locked {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }
}

/// Chooses the place.
fn place(state: &State, request: &MapRequest, len: u64) -> Result<Span, Errno> {
    let wanted = Span::from_len(request.addr.page_down().get(), len);
    let in_bounds = wanted.len() == len && USER.intersect(wanted) == wanted;
    if request.fixed != Fixed::No {
        if !request.addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if wanted.start < USER.start {
            return Err(Errno::EPERM);
        }
        if !in_bounds {
            return Err(Errno::ENOMEM);
        }
        let taken = state.vmas.segments().overlapping(wanted).next().is_some();
        if taken && request.fixed == Fixed::NoReplace {
            return Err(Errno::EEXIST);
        }
        return Ok(wanted);
    }
    let low_enough = !request.low || wanted.end <= 2 << 30;
    if !request.addr.is_null() && in_bounds && low_enough && state.vmas.is_free(wanted) {
        return Ok(wanted);
    }
    let found =
        if request.low { state.vmas.place_low(len) } else { state.vmas.place(len, &state.layout) };
    found.ok_or(Errno::ENOMEM)
}

/// The pages of `addr` and `len` as calls on existing mappings take them: aligned start, length
/// rounded up and not 0.
pub(crate) fn checked_span(addr: UserAddr, len: u64, beyond: Errno) -> Result<Span, Errno> {
    if !addr.is_page_aligned() || len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = round_len(len).ok_or(beyond)?;
    let end = addr.get().checked_add(len).filter(|end| *end <= USER.end).ok_or(beyond)?;
    Ok(Span::new(addr.get(), end))
}
