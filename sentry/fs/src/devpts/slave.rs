//! The slave end of a pseudo-terminal.

use std::{any::Any, sync::Arc};

use abi::{
    Errno, Signal,
    fs::{
        open::O_NOCTTY,
        poll::{POLLERR, POLLHUP},
    },
};
use sched::Wake;
use vfs::{Ctx, Dst, File, Inode, Ioctl, Src};

use super::{
    Terminal,
    terminal::{READABLE, WRITABLE, caller},
    termios::{ICANON, TOSTOP, VMIN, VTIME},
};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 4096;

/// The slave end: what programs read and write.
#[derive(Debug, state::Save, state::Load)]
pub struct Slave {
    terminal: Arc<Terminal>,
    inode: Arc<dyn Inode>,
}

impl Slave {
    /// Opens the slave. A session leader without a terminal gets it as its controlling one, unless
    /// `O_NOCTTY` is given.
    ///
    /// # Errors
    ///
    /// `EIO` if the master is closed or the slave locked.
    pub fn open(
        terminal: &Arc<Terminal>,
        inode: Arc<dyn Inode>,
        cx: &Ctx<'_>,
        flags: u32,
    ) -> Result<Arc<Self>, Errno> {
        {
            let mut state = terminal.state.lock();
            if state.hung_up || state.locked {
                return Err(Errno::EIO);
            }
            state.slaves += 1;
            state.was_open = true;
        }
        if flags & O_NOCTTY == 0
            && let Some(task) = caller(cx)
        {
            // Most callers lead no session, or have a terminal: then it just stays as it is.
            let _ = terminal.take_control(task, false);
        }
        Ok(Arc::new(Self { terminal: terminal.clone(), inode }))
    }

    /// The terminal.
    #[must_use]
    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }
}

impl Slave {
    /// A read without a least number of bytes: it waits for `VTIME`, in tenths of a second
    /// (termios(3), "Canonical and noncanonical mode").
    fn read_within(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, tenths: u8) -> Result<usize, Errno> {
        let deadline = host::clock::monotonic_ns() + u64::from(tenths) * 100_000_000;
        let ready = || {
            let state = self.terminal.state.lock();
            (state.line.has_input(1) || state.hung_up).then_some(())
        };
        let queue = &self.terminal.slave_queue;
        match sched::wait_until(cx.fiber, &[queue], READABLE, Some(deadline), ready) {
            Ok(()) => {}
            Err(Wake::TimedOut) => return Ok(0),
            Err(_) => return Err(Errno::ERESTARTSYS),
        }
        let bytes = self.terminal.state.lock().line.read(dst.remaining().min(CHUNK_BYTES));
        self.terminal.master_queue.notify(WRITABLE);
        dst.put(&bytes)
    }
}

impl File for Slave {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        self.terminal.check_background(cx, Signal::SIGTTIN)?;
        let wanted = dst.remaining();
        let bytes = {
            let mut state = self.terminal.state.lock();
            let termios = state.line.termios;
            let (min, time) = (termios.character(VMIN), termios.character(VTIME));
            let min = usize::from(min).min(wanted);
            if !state.line.has_input(min) {
                if state.hung_up {
                    return Ok(0);
                }
                if termios.local(ICANON) || min > 0 {
                    return Err(Errno::EAGAIN);
                }
                drop(state);
                return self.read_within(cx, dst, time);
            }
            state.line.read(wanted.min(CHUNK_BYTES))
        };
        self.terminal.master_queue.notify(WRITABLE);
        dst.put(&bytes)
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        let to_stop = self.terminal.state.lock().line.termios.local(TOSTOP);
        if to_stop {
            self.terminal.check_background(cx, Signal::SIGTTOU)?;
        }
        let mut buffer = vec![0; src.remaining().min(CHUNK_BYTES)];
        {
            let state = self.terminal.state.lock();
            if state.hung_up {
                return Err(Errno::EIO);
            }
            // Room for all that is taken now, each byte in its longest form.
            let room = super::line::OUTPUT_MAX.saturating_sub(state.line.output.len()) / 8;
            if state.line.stopped || room == 0 {
                return Err(Errno::EAGAIN);
            }
            buffer.truncate(room);
        }
        let count = src.take(&mut buffer)?;
        let mut done = 0;
        while let Some(rest) = buffer.get(done..count).filter(|rest| !rest.is_empty()) {
            let (taken, gone) = {
                let mut state = self.terminal.state.lock();
                (state.line.write(rest), state.hung_up)
            };
            done += taken;
            self.terminal.master_queue.notify(READABLE);
            if gone {
                break;
            }
            if taken == 0 {
                // Another writer was faster, or output was held: what was taken must not be lost.
                cx.fiber.yield_now();
            }
        }
        Ok(count)
    }

    fn poll(&self) -> u32 {
        let state = self.terminal.state.lock();
        if state.hung_up {
            return POLLHUP | POLLERR | READABLE | WRITABLE;
        }
        let min = usize::from(state.line.termios.character(VMIN));
        let mut events = 0;
        if state.line.has_input(min) {
            events |= READABLE;
        }
        if !state.line.stopped && state.line.output.len() + 8 <= super::line::OUTPUT_MAX {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&sched::WaitQueue> {
        Some(&self.terminal.slave_queue)
    }

    fn ioctl(&self, cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        if self.terminal.state.lock().hung_up {
            return Err(Errno::EIO);
        }
        self.terminal.control(cx, call, false)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn release(&self, _cx: &Ctx<'_>) {
        let last = {
            let mut state = self.terminal.state.lock();
            state.slaves = state.slaves.saturating_sub(1);
            state.slaves == 0
        };
        if last {
            self.terminal.master_queue.notify(READABLE | POLLHUP);
        }
    }

    fn link_text(&self) -> String {
        format!("/dev/pts/{}", self.terminal.index)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
