//! Stacks of fibers.

use std::{ffi::c_void, num::NonZeroUsize, ptr, sync::Mutex};

use rustix::{io, mm};

/// Address space of one stack, guard included; pages come on demand.
pub const STACK_BYTES: usize = 256 * 1024;
/// Rust code probes each page of its frames, so one page can't be stepped over.
const GUARD_BYTES: usize = 4096;
/// What a stack keeps when it goes back to the pool.
const KEEP_BYTES: usize = 32 * 1024;
/// Stacks per mapping.
const CHUNK: usize = 16;
/// `MADV_GUARD_INSTALL` (madvise(2), since Linux 6.13): a guard that needs no mapping of its own.
const MADV_GUARD_INSTALL: i32 = 102;

/// A stack with a guard page at its lower end. It is never unmapped: one that is not given back
/// to its pool is leaked.
#[derive(Debug)]
pub struct Stack {
    limit: NonZeroUsize,
}

impl Stack {
    fn top(&self) -> NonZeroUsize {
        self.limit.saturating_add(STACK_BYTES)
    }

    /// Gives the pages far from the top back to the host (madvise).
    fn trim(&self) {
        let low = self.limit.get() + GUARD_BYTES;
        let len = STACK_BYTES - GUARD_BYTES - KEEP_BYTES;
        let low = ptr::with_exposed_provenance_mut::<c_void>(low);
        // SAFETY: these pages belong to this stack, on which nothing runs: a fiber has its stack
        // as long as it exists.
        let _ = unsafe { mm::madvise(low, len, mm::Advice::LinuxDontNeed) };
    }
}

// SAFETY: the range is mapped for ever, its first page is a guard, and it belongs to this value
// alone.
unsafe impl corosensei::stack::Stack for Stack {
    fn base(&self) -> NonZeroUsize {
        self.top()
    }

    fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

/// Stacks that wait for their next fiber.
#[derive(Debug, Default)]
pub struct StackPool {
    free: Mutex<Vec<Stack>>,
}

impl StackPool {
    /// Makes an empty pool.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: Mutex::new(Vec::new()) }
    }

    /// Takes a stack; maps more if there is none (mmap, madvise or mprotect).
    ///
    /// # Errors
    ///
    /// When the host has no memory or no mappings left.
    pub fn take(&self) -> io::Result<Stack> {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match free.pop() {
            Some(stack) => Ok(stack),
            None => {
                map_chunk(&mut free)?;
                free.pop().ok_or(io::Errno::NOMEM)
            }
        }
    }

    /// Takes a stack back, and gives most of its pages to the host (madvise).
    pub fn give_back(&self, stack: Stack) {
        stack.trim();
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stack);
    }
}

fn map_chunk(free: &mut Vec<Stack>) -> io::Result<()> {
    let len = CHUNK * STACK_BYTES;
    let flags = mm::MapFlags::PRIVATE | mm::MapFlags::NORESERVE | mm::MapFlags::STACK;
    // SAFETY: a fresh mapping at an address that the host chooses.
    let base = unsafe {
        mm::mmap_anonymous(ptr::null_mut(), len, mm::ProtFlags::READ | mm::ProtFlags::WRITE, flags)
    }?;
    // A huge page would give every stack of the chunk its memory at once. Fails where the host
    // has none.
    // SAFETY: advice on how to fill a mapping that nobody uses yet.
    let _ = unsafe { mm::madvise(base, len, mm::Advice::LinuxNoHugepage) };
    let start = base.expose_provenance();
    for number in (0..CHUNK).rev() {
        let limit = start + number * STACK_BYTES;
        guard(limit)?;
        free.extend(NonZeroUsize::new(limit).map(|limit| Stack { limit }));
    }
    Ok(())
}

/// Makes the page at `limit` fault on every access.
fn guard(limit: usize) -> io::Result<()> {
    let page = ptr::with_exposed_provenance_mut::<c_void>(limit);
    // SAFETY: a page of a mapping that nobody uses yet.
    let done = unsafe { libc::madvise(page, GUARD_BYTES, MADV_GUARD_INSTALL) };
    if done == 0 {
        return Ok(());
    }
    // SAFETY: as above.
    unsafe { mm::mprotect(page, GUARD_BYTES, mm::MprotectFlags::empty()) }
}

#[cfg(test)]
mod tests {
    use corosensei::{Coroutine, stack::Stack as _};

    use super::*;

    #[test]
    fn a_stack_that_was_given_back_is_taken_again() {
        let pool = StackPool::new();
        let stack = pool.take().unwrap();
        let limit = stack.limit();
        pool.give_back(stack);
        assert_eq!(pool.take().unwrap().limit(), limit);
    }

    #[test]
    fn a_fiber_can_use_nearly_all_of_it() {
        let pool = StackPool::new();
        for _ in 0..2 {
            let stack = pool.take().unwrap();
            let mut fiber = Coroutine::<(), (), u8, Stack>::with_stack(stack, |_, ()| {
                let mut bytes = [1_u8; 200 * 1024];
                std::hint::black_box(&mut bytes)[0]
            });
            assert_eq!(fiber.resume(()).as_return(), Some(1));
            pool.give_back(fiber.into_stack());
        }
    }
}
