//! brk(2).

use abi::{Errno, UserAddr};
use platform::Protection;

use crate::{
    MapRequest, MemoryManager, Span,
    manager::{Heap, Removed, State},
    span::page_up,
    vma::USER,
};

impl MemoryManager {
    /// Sets where the heap begins (exec).
    pub fn set_brk_start(&self, addr: UserAddr) {
        self.state().lock().heap = Heap { start: addr.get(), end: addr.get() };
    }

    /// brk(2): moves the end of the heap if it can, returns where it is.
    pub fn brk(&self, addr: UserAddr) -> UserAddr {
        let mut state = self.state().lock();
        let before = state.heap.end;
        let moved = self.move_brk(&mut state, addr.get());
        let end = UserAddr::new(state.heap.end);
        let locked = state.lock_future.is_some_and(|lock| !lock.on_fault);
        drop(state);
        drop(moved);
        if locked && end.get() > before {
            let _ = self.populate(Span::new(before, end.get()));
        }
        end
    }

    fn move_brk(&self, state: &mut State, end: u64) -> Result<Removed, Errno> {
        let heap = state.heap;
        if end < heap.start || end > USER.end {
            return Err(Errno::EINVAL);
        }
        let (old_top, top) = (page_up(heap.end), page_up(end));
        let (Some(old_top), Some(top)) = (old_top, top) else { return Err(Errno::EINVAL) };
        let mut removed = Removed::default();
        if top < old_top {
            removed = self.clear(state, Span::new(top, old_top))?;
        } else if top > old_top {
            self.grow_heap(state, Span::new(old_top, top))?;
        }
        state.heap.end = end;
        Ok(removed)
    }

    fn grow_heap(&self, state: &mut State, more: Span) -> Result<(), Errno> {
        // One page more than asked must be free, as on Linux.
        if !state.vmas.is_free(Span::new(more.start, more.end + abi::PAGE_SIZE)) {
            return Err(Errno::ENOMEM);
        }
        let request = MapRequest::anonymous(more.len(), Protection::READ_WRITE).named("[heap]");
        let vma = self.vma_of(state, &request, None);
        self.check_limits(state, &vma, more.len(), 0)?;
        state.vmas.insert(more, vma);
        Ok(())
    }
}
