//! The master end of a pseudo-terminal.

use std::{
    any::Any,
    sync::{Arc, Weak},
};

use abi::{
    Errno,
    fs::{
        open::O_RDWR,
        poll::{POLLHUP, POLLIN},
    },
};
use vfs::{Ctx, Dst, File, Inode, Ioctl, OpenFile, Src};

use super::{
    Devpts, Slave, Terminal,
    control::{TIOCGPTN, TIOCGPTPEER, TIOCPKT, TIOCSPTLCK, write_int},
    terminal::{READABLE, WRITABLE, caller},
};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 4096;

/// The master end: what a terminal emulator, or the relay to a terminal outside, holds.
#[derive(Debug, state::Save, state::Load)]
pub struct Master {
    terminal: Arc<Terminal>,
    fs: Weak<Devpts>,
    inode: Arc<dyn Inode>,
}

impl Master {
    pub(super) fn new(
        terminal: Arc<Terminal>,
        fs: &Arc<Devpts>,
        inode: Arc<dyn Inode>,
    ) -> Arc<Self> {
        Arc::new(Self { terminal, fs: Arc::downgrade(fs), inode })
    }

    /// The terminal.
    #[must_use]
    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Takes what the slave has written: for a relay outside of any task.
    #[must_use]
    pub fn take_output(&self, max: usize) -> Vec<u8> {
        let bytes = {
            let mut state = self.terminal.state.lock();
            let count = max.min(state.line.output.len());
            state.line.output.drain(..count).collect::<Vec<u8>>()
        };
        if !bytes.is_empty() {
            self.terminal.slave_queue.notify(WRITABLE);
        }
        bytes
    }

    /// Types `bytes` for a relay outside of any task; returns how many were taken.
    pub fn type_in(&self, kernel: &kernel::Kernel, bytes: &[u8]) -> usize {
        self.terminal.type_in(kernel, bytes).unwrap_or(0)
    }

    /// True once a slave was open and all are closed: nobody will write any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.terminal.state.lock();
        state.was_open && state.slaves == 0 && state.line.output.is_empty()
    }

    fn read_packet(&self, dst: &mut dyn Dst) -> Result<usize, Errno> {
        let bytes = self.take_output(dst.remaining().saturating_sub(1).min(CHUNK_BYTES));
        if bytes.is_empty() {
            return Err(Errno::EAGAIN);
        }
        dst.put(&[0])?;
        Ok(1 + dst.put(&bytes)?)
    }
}

impl File for Master {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        let (packet, ended) = {
            let state = self.terminal.state.lock();
            let ended = state.was_open && state.slaves == 0 && state.line.output.is_empty();
            (state.packet, ended)
        };
        if ended {
            return Err(Errno::EIO);
        }
        if packet {
            return self.read_packet(dst);
        }
        let bytes = self.take_output(dst.remaining().min(CHUNK_BYTES));
        if bytes.is_empty() && dst.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        dst.put(&bytes)
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        let task = caller(cx).ok_or(Errno::EIO)?;
        if !self.terminal.state.lock().line.has_room() {
            return Err(Errno::EAGAIN);
        }
        let mut buffer = vec![0; src.remaining().min(CHUNK_BYTES)];
        let count = src.take(&mut buffer)?;
        let mut done = 0;
        while let Some(rest) = buffer.get(done..count).filter(|rest| !rest.is_empty()) {
            match self.terminal.type_in(&task.kernel, rest) {
                Ok(taken) => done += taken,
                // What was taken from the caller must not be lost: wait until it fits.
                Err(_) => cx.fiber.yield_now(),
            }
            if self.terminal.state.lock().slaves == 0 {
                break;
            }
        }
        Ok(count)
    }

    fn poll(&self) -> u32 {
        let state = self.terminal.state.lock();
        let mut events = 0;
        if !state.line.output.is_empty() {
            events |= READABLE;
        }
        if state.was_open && state.slaves == 0 {
            events |= POLLHUP | (READABLE & POLLIN);
        }
        if state.line.has_room() {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&sched::WaitQueue> {
        Some(&self.terminal.master_queue)
    }

    fn ioctl(&self, cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        match call.request {
            TIOCGPTN => write_int(call, self.terminal.index)?,
            TIOCSPTLCK => {
                let locked: u32 = call.mm.read_value(call.addr())?;
                self.terminal.state.lock().locked = locked != 0;
            }
            TIOCPKT => {
                let packet: u32 = call.mm.read_value(call.addr())?;
                self.terminal.state.lock().packet = packet != 0;
            }
            TIOCGPTPEER => return self.open_peer(cx, call.arg),
            _ => return self.terminal.control(cx, call, true),
        }
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn release(&self, cx: &Ctx<'_>) {
        if let Some(fs) = self.fs.upgrade() {
            fs.remove(self.terminal.index);
        }
        self.terminal.close_master(caller(cx).map(|task| &task.kernel));
    }

    fn link_text(&self) -> String {
        "/dev/pts/ptmx".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Master {
    /// `TIOCGPTPEER`: opens the slave without its path.
    fn open_peer(&self, cx: &Ctx<'_>, flags: u64) -> Result<u64, Errno> {
        let task = caller(cx).ok_or(Errno::EIO)?;
        let flags = u32::try_from(flags & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
        let inode = self.fs.upgrade().and_then(|fs| fs.slave(self.terminal.index));
        let inode = inode.ok_or(Errno::EIO)?;
        let file = Slave::open(&self.terminal, inode, cx, flags)?;
        let kept = flags & (O_RDWR | abi::fs::open::O_WRONLY | abi::fs::open::O_NONBLOCK);
        let file = OpenFile::new(file, None, kept);
        let files = task.files().ok_or(Errno::EIO)?;
        let limit = task.process.limits.lock().soft(kernel::Resource::Nofile);
        let close = flags & abi::fs::open::O_CLOEXEC != 0;
        files.insert(file, close, 0, limit).map(|fd| u64::from(fd.unsigned_abs()))
    }
}
