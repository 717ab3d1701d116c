//! An open end of a pipe.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use abi::Errno;
use auth::Capability;
use sched::WaitQueue;
use state::live::Live;
use vfs::{Ctx, Dst, File, Inode, Ioctl, Src};

use super::buffer::{CAPACITY_MAX_BYTES, Ends, Pipe};

/// `F_SETPIPE_SZ` (fcntl(2)).
const F_SETPIPE_SZ: u32 = 1031;
/// `F_GETPIPE_SZ` (fcntl(2)).
const F_GETPIPE_SZ: u32 = 1032;
/// `FIONREAD` (`ioctl_tty(2)`).
const FIONREAD: u32 = 0x541b;
/// Largest capacity at all: 2 GiB on Linux; here what one buffer may reasonably take.
const PRIVILEGED_MAX_BYTES: usize = 16 * CAPACITY_MAX_BYTES;

/// An open end of a pipe or FIFO: the reading one, the writing one, or both.
#[derive(Debug, state::Save, state::Load)]
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    inode: Arc<dyn Inode>,
    ends: Ends,
    /// Openings of the other side that do not count as "it was there and has gone".
    openings: u64,
    released: AtomicBool,
    ino: u64,
    #[state(skip)]
    _live: Live<Self>,
}

impl PipeEnd {
    /// An end that has been attached to `pipe` already.
    pub(super) fn new(
        pipe: &Arc<Pipe>,
        (inode, ino): (Arc<dyn Inode>, u64),
        ends: Ends,
        openings: u64,
    ) -> Arc<Self> {
        let released = AtomicBool::new(false);
        let pipe = Arc::clone(pipe);
        Arc::new(Self { pipe, inode, ends, openings, released, ino, _live: Live::new() })
    }

    fn detach(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            self.pipe.detach(self.ends);
        }
    }

    fn set_capacity(&self, cx: &Ctx<'_>, arg: u64) -> Result<u64, Errno> {
        let bytes = usize::try_from(arg).map_err(|_| Errno::EINVAL)?;
        if bytes > PRIVILEGED_MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        let grows = bytes > self.pipe.capacity();
        if grows && bytes > CAPACITY_MAX_BYTES && !cx.creds.has(Capability::SysResource) {
            return Err(Errno::EPERM);
        }
        self.pipe.set_capacity(bytes).map(|capacity| capacity as u64)
    }
}

impl File for PipeEnd {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        self.pipe.read(cx, dst)
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        self.pipe.write(cx, src)
    }

    fn poll(&self) -> u32 {
        self.pipe.poll(self.ends, self.openings)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.events)
    }

    fn ioctl(&self, _cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        match call.request {
            FIONREAD => {
                let count = u32::try_from(self.pipe.len()).unwrap_or(u32::MAX);
                call.mm.write_value(call.addr(), &count)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(Arc::clone(&self.inode))
    }

    fn fcntl(&self, cx: &Ctx<'_>, command: u32, arg: u64) -> Result<u64, Errno> {
        match command {
            F_SETPIPE_SZ => self.set_capacity(cx, arg),
            F_GETPIPE_SZ => Ok(self.pipe.capacity() as u64),
            _ => Err(Errno::EINVAL),
        }
    }

    fn release(&self, _cx: &Ctx<'_>) {
        self.detach();
    }

    fn link_text(&self) -> String {
        format!("pipe:[{}]", self.ino)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    /// For one that never had a descriptor.
    fn drop(&mut self) {
        self.detach();
    }
}
