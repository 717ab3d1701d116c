//! mlock(2), mlockall(2) and mincore(2): nothing is ever swapped out, so locking is accounting
//! and filling in.

use abi::{Errno, UserAddr};

use crate::{
    MemoryManager, Span,
    manager::LockFuture,
    map::checked_span,
    vma::{USER, Vma},
};

/// The most pages that one call of [`MemoryManager::resident`] tells about.
const MAX_RESIDENT: u64 = 1 << 16;

impl MemoryManager {
    /// mlock(2); `on_fault` is `MLOCK_ONFAULT`.
    ///
    /// # Errors
    ///
    /// As mlock(2).
    pub fn lock(&self, addr: UserAddr, len: u64, on_fault: bool) -> Result<(), Errno> {
        let Some(span) = covering(addr, len)? else { return Ok(()) };
        self.set_locked(span, true)?;
        if on_fault {
            return Ok(());
        }
        self.populate(span).map_err(|_| Errno::ENOMEM)
    }

    /// munlock(2).
    ///
    /// # Errors
    ///
    /// As munlock(2).
    pub fn unlock(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        let Some(span) = covering(addr, len)? else { return Ok(()) };
        self.set_locked(span, false)
    }

    /// mlockall(2).
    ///
    /// # Errors
    ///
    /// As mlockall(2).
    pub fn lock_all(&self, current: bool, future: bool, on_fault: bool) -> Result<(), Errno> {
        {
            let mut state = self.state().lock();
            if current && state.vmas.sums().total > state.limits.locked {
                return Err(Errno::ENOMEM);
            }
            state.lock_future = future.then_some(LockFuture { on_fault });
            if current {
                state.vmas.update(USER, |vma| vma.locked = true);
            }
        }
        if current && !on_fault {
            // As Linux: what can't be filled in is no error here.
            let _ = self.populate(USER);
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn unlock_all(&self) {
        let mut state = self.state().lock();
        state.lock_future = None;
        state.vmas.update(USER, |vma| vma.locked = false);
    }

    /// mincore(2): whether each page is present. Tells about 65,536 pages at most; a caller that
    /// wants more asks again.
    ///
    /// # Errors
    ///
    /// `EINVAL`, or `ENOMEM` if some of them are not mapped.
    pub fn resident(&self, addr: UserAddr, len: u64) -> Result<Vec<bool>, Errno> {
        if len == 0 && addr.is_page_aligned() {
            return Ok(Vec::new());
        }
        let span = checked_span(addr, len, Errno::ENOMEM)?;
        let span = span.intersect(Span::from_len(span.start, MAX_RESIDENT * abi::PAGE_SIZE));
        let state = self.state().lock();
        if !state.vmas.segments().covers(span) {
            return Err(Errno::ENOMEM);
        }
        let pmas = state.pmas.segments();
        Ok(span.page_starts().map(|page| pmas.at(page).is_some()).collect())
    }

    fn set_locked(&self, span: Span, locked: bool) -> Result<(), Errno> {
        let mut state = self.state().lock();
        if !state.vmas.can_cut(span) || !state.vmas.segments().covers(span) {
            return Err(Errno::ENOMEM);
        }
        if locked {
            let areas = state.vmas.segments().clipped(span);
            let more: u64 = areas.filter(|(_, vma)| !vma.locked).map(|(area, _)| area.len()).sum();
            let limit = state.limits.locked;
            if limit == 0 {
                return Err(Errno::EPERM);
            }
            if state.vmas.sums().locked.saturating_add(more) > limit {
                return Err(Errno::ENOMEM);
            }
        }
        let change = |vma: &mut Vma| vma.locked = locked;
        state.vmas.update(span, change);
        Ok(())
    }
}

/// The pages that `len` bytes from `addr` touch (mlock rounds both ends); `None` if there are none.
fn covering(addr: UserAddr, len: u64) -> Result<Option<Span>, Errno> {
    if len == 0 {
        return Ok(None);
    }
    let whole = len.checked_add(addr.page_offset()).ok_or(Errno::EINVAL)?;
    checked_span(addr.page_down(), whole, Errno::ENOMEM).map(Some)
}
