//! Counters that can be waited for (eventfd(2)).

use std::{any::Any, sync::Arc};

use abi::{
    Errno,
    fs::{
        open::{O_CLOEXEC, O_NONBLOCK, O_RDWR},
        poll::{POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
    },
};
use sched::{Mutex, WaitQueue};
use state::live::Live;
use vfs::{Ctx, Dst, File, Inode, OpenFile, Src};

use crate::{Shared, base::AnonInode};

/// `EFD_SEMAPHORE` (eventfd(2)).
const EFD_SEMAPHORE: u32 = 1;
/// Largest value that a write can bring about.
const MAX: u64 = u64::MAX - 1;

/// A counter.
#[derive(Debug, state::Save, state::Load)]
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    #[state(skip)]
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    #[state(skip)]
    _live: Live<Self>,
}

/// eventfd2(2): makes a counter. `EFD_CLOEXEC` is the caller's.
///
/// # Errors
///
/// `EINVAL` for an unknown flag.
pub fn eventfd(shared: &Arc<Shared>, count: u32, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    if flags & !(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Arc::new(EventFd {
        count: Mutex::new(u64::from(count)),
        semaphore: flags & EFD_SEMAPHORE != 0,
        queue: WaitQueue::new(),
        inode: Arc::clone(shared.anonymous_inode()),
        _live: Live::new(),
    });
    Ok(OpenFile::new(file, None, O_RDWR | (flags & O_NONBLOCK)))
}

impl EventFd {
    /// Adds to the counter on behalf of the kernel (aio), as far as it goes.
    pub fn signal(&self, add: u64) {
        {
            let mut count = self.count.lock();
            *count = count.saturating_add(add);
        }
        self.queue.notify(POLLIN | POLLRDNORM);
    }
}

impl File for EventFd {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        if dst.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = {
            let mut count = self.count.lock();
            if *count == 0 {
                return Err(Errno::EAGAIN);
            }
            let taken = if self.semaphore { 1 } else { *count };
            *count -= taken;
            taken
        };
        self.queue.notify(POLLOUT | POLLWRNORM);
        dst.put(&taken.to_ne_bytes())
    }

    fn write(&self, _cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        let mut bytes = [0; size_of::<u64>()];
        if src.remaining() < bytes.len() {
            return Err(Errno::EINVAL);
        }
        // Nothing may be taken that is not used: the caller tries again after EAGAIN.
        if self.poll() & POLLOUT == 0 {
            return Err(Errno::EAGAIN);
        }
        if src.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let add = u64::from_ne_bytes(bytes);
        if add > MAX {
            return Err(Errno::EINVAL);
        }
        {
            let mut count = self.count.lock();
            *count = count.checked_add(add).filter(|sum| *sum <= MAX).ok_or(Errno::EAGAIN)?;
        }
        self.queue.notify(POLLIN | POLLRDNORM);
        Ok(bytes.len())
    }

    fn poll(&self) -> u32 {
        let count = *self.count.lock();
        let readable = if count > 0 { POLLIN | POLLRDNORM } else { 0 };
        let writable = if count < MAX { POLLOUT | POLLWRNORM } else { 0 };
        let overflown = if count > MAX { POLLERR } else { 0 };
        readable | writable | overflown
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn link_text(&self) -> String {
        "anon_inode:[eventfd]".to_owned()
    }

    fn fdinfo(&self) -> String {
        format!("eventfd-count: {:16x}\n", *self.count.lock())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read, run, write};

    #[test]
    fn a_read_takes_all_or_one() {
        run(|cx, world| {
            for (flags, first, second) in [(0, 3, Err(Errno::EAGAIN)), (EFD_SEMAPHORE, 1, Ok(1))] {
                let file = eventfd(&world.shared, 3, flags | O_NONBLOCK).unwrap();
                let take = || {
                    let bytes = read(cx, &file, 8)?;
                    Ok(u64::from_ne_bytes(bytes.try_into().unwrap()))
                };
                assert_eq!(take(), Ok(first));
                assert_eq!(take(), second);
                assert_eq!(read(cx, &file, 7), Err(Errno::EINVAL));
            }
        });
    }

    #[test]
    fn a_sum_beyond_the_largest_waits_and_the_largest_number_is_refused() {
        run(|cx, world| {
            let file = eventfd(&world.shared, 0, O_NONBLOCK).unwrap();
            assert_eq!(write(cx, &file, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
            assert_eq!(write(cx, &file, &MAX.to_ne_bytes()), Ok(8));
            assert_eq!(write(cx, &file, &1_u64.to_ne_bytes()), Err(Errno::EAGAIN));
            assert_eq!(file.file().poll(), POLLIN | POLLRDNORM);
            assert_eq!(write(cx, &file, b"short"), Err(Errno::EINVAL));
            assert_eq!(eventfd(&world.shared, 0, 2).unwrap_err(), Errno::EINVAL);
        });
    }
}
