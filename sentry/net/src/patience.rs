//! How long a call may wait.

use abi::Errno;
use sched::{WaitQueue, Wake};
use vfs::Ctx;

/// Whether a call may wait, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `O_NONBLOCK` or `MSG_DONTWAIT`.
    pub(crate) nonblocking: bool,
    /// The end of `SO_RCVTIMEO` or `SO_SNDTIMEO`, as `CLOCK_MONOTONIC`.
    pub(crate) deadline_ns: Option<u64>,
}

impl Patience {
    /// Waits until `ready`, which the events `mask` of `queue` may bring about.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it may not wait (longer); `ERESTARTSYS` after a signal, or `EINTR` if there is
    /// a time-out, since starting again would wait for the whole time again (signal(7)).
    pub(crate) fn wait(
        &self,
        cx: &Ctx<'_>,
        queue: &WaitQueue,
        mask: u32,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Errno> {
        if self.nonblocking {
            return Err(Errno::EAGAIN);
        }
        let condition = || ready().then_some(());
        match sched::wait_until(cx.fiber, &[queue], mask, self.deadline_ns, condition) {
            Ok(()) => Ok(()),
            Err(Wake::TimedOut) => Err(Errno::EAGAIN),
            // The sandbox stands still for a checkpoint: no signal, so the call is made again.
            Err(Wake::Stopping) => Err(Errno::ERESTARTNOINTR),
            Err(_) if self.deadline_ns.is_some() => Err(Errno::EINTR),
            Err(_) => Err(Errno::ERESTARTSYS),
        }
    }
}
