//! ioctl(2) on terminals (`ioctl_tty(2)`).

use std::sync::Arc;

use abi::{Errno, SigInfo, Signal};
use kernel::{Pid, Task};
use vfs::{Ctx, Ioctl};

use super::{
    Terminal,
    terminal::{READABLE, WRITABLE, caller},
    termios::{TERMIOS_BYTES, Termios},
};

pub(super) const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
pub(super) const TIOCPKT: u32 = 0x5420;
pub(super) const TIOCGPTN: u32 = 0x8004_5430;
pub(super) const TIOCSPTLCK: u32 = 0x4004_5431;
pub(super) const TIOCGPTPEER: u32 = 0x5441;

impl Terminal {
    /// Requests that master and slave have in common; `master` says from which end it comes.
    pub(super) fn control(
        self: &Arc<Self>,
        cx: &Ctx<'_>,
        call: Ioctl<'_>,
        master: bool,
    ) -> Result<u64, Errno> {
        match call.request {
            TCGETS => {
                let bytes = self.state.lock().line.termios.to_bytes();
                call.mm.write(call.addr(), &bytes)?;
            }
            TCSETS | TCSETSW | TCSETSF => self.set_attributes(cx, call, master)?,
            TIOCGWINSZ => {
                let size = self.state.lock().size;
                let bytes: Vec<u8> = size.iter().flat_map(|field| field.to_le_bytes()).collect();
                call.mm.write(call.addr(), &bytes)?;
            }
            TIOCSWINSZ => {
                let mut bytes = [0; 8];
                call.mm.read(call.addr(), &mut bytes)?;
                let [a, b, c, d, e, f, g, h] = bytes;
                let size = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes);
                let task = caller(cx).ok_or(Errno::ENOTTY)?;
                self.resize(&task.kernel, size);
            }
            FIONREAD => {
                let state = self.state.lock();
                let count = if master { state.line.output.len() } else { state.line.readable() };
                drop(state);
                write_int(call, u32::try_from(count).unwrap_or(u32::MAX))?;
            }
            TIOCOUTQ => {
                let count = if master { 0 } else { self.state.lock().line.output.len() };
                write_int(call, u32::try_from(count).unwrap_or(u32::MAX))?;
            }
            TCFLSH => self.flush(call.arg, master)?,
            TCXONC => self.hold(call.arg)?,
            TCSBRK | TCSBRKP | TIOCEXCL | TIOCNXCL => {}
            _ => return self.control_jobs(cx, call, master),
        }
        Ok(0)
    }

    fn set_attributes(&self, cx: &Ctx<'_>, call: Ioctl<'_>, master: bool) -> Result<(), Errno> {
        if !master {
            self.check_background(cx, Signal::SIGTTOU)?;
        }
        let mut bytes = [0; TERMIOS_BYTES];
        call.mm.read(call.addr(), &mut bytes)?;
        {
            let mut state = self.state.lock();
            if call.request == TCSETSF {
                state.line.flush_input();
            }
            state.line.set_termios(Termios::from_bytes(&bytes));
        }
        self.slave_queue.notify(READABLE | WRITABLE);
        self.master_queue.notify(READABLE | WRITABLE);
        Ok(())
    }

    /// `TCFLSH`: 0 input, 1 output, 2 both, as the caller's end sees it.
    fn flush(&self, queue: u64, master: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let (input, output) = match queue {
            0 => (!master, master),
            1 => (master, !master),
            2 => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        if input {
            state.line.flush_input();
        }
        if output {
            state.line.output.clear();
        }
        drop(state);
        self.slave_queue.notify(WRITABLE);
        self.master_queue.notify(WRITABLE);
        Ok(())
    }

    /// `TCXONC`: 0 holds output, 1 lets it go on; 2 and 3 send the characters for it.
    fn hold(&self, action: u64) -> Result<(), Errno> {
        match action {
            0 => self.state.lock().line.stopped = true,
            1 => self.state.lock().line.stopped = false,
            2 | 3 => {}
            _ => return Err(Errno::EINVAL),
        }
        self.slave_queue.notify(WRITABLE);
        Ok(())
    }

    /// Requests of job control.
    fn control_jobs(
        self: &Arc<Self>,
        cx: &Ctx<'_>,
        call: Ioctl<'_>,
        master: bool,
    ) -> Result<u64, Errno> {
        let task = caller(cx).ok_or(Errno::ENOTTY)?;
        match call.request {
            TIOCSCTTY => self.take_control(task, call.arg == 1)?,
            TIOCNOTTY => self.give_up(task)?,
            TIOCGPGRP => {
                if !master && !self.controls(task) {
                    return Err(Errno::ENOTTY);
                }
                let group = self.state.lock().foreground.unwrap_or(Pid(0));
                write_int(call, group.0)?;
            }
            TIOCSPGRP => {
                let group: i32 = call.mm.read_value(call.addr())?;
                self.set_foreground(cx, task, group)?;
            }
            TIOCGSID => {
                let session = self.state.lock().session.ok_or(Errno::ENOTTY)?;
                write_int(call, session.0)?;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    /// True if it controls the session of `task`.
    fn controls(&self, task: &Task) -> bool {
        let session = self.state.lock().session;
        let tree = task.kernel.tree.lock();
        session.is_some() && tree.process(task.process.pid).map(|n| n.session.sid) == session
    }

    /// Becomes the controlling terminal of the session that `task` leads.
    ///
    /// # Errors
    ///
    /// `EPERM` if it leads none, or either has another one.
    pub fn control_session(self: &Arc<Self>, task: &Task) -> Result<(), Errno> {
        self.take_control(task, false)
    }

    /// Becomes the controlling terminal of the caller's session, which the caller leads.
    pub(super) fn take_control(self: &Arc<Self>, task: &Task, force: bool) -> Result<(), Errno> {
        let tree = task.kernel.tree.lock();
        let node = tree.process(task.process.pid).ok_or(Errno::EPERM)?;
        let (sid, group) = (node.session.sid, node.group);
        let mut tty = node.session.tty.lock();
        let mut state = self.state.lock();
        if state.session == Some(sid) {
            return Ok(());
        }
        if sid != task.process.pid || tty.is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(other) = state.session {
            let admin = task.creds().has(auth::Capability::SysAdmin);
            if !force || !admin {
                return Err(Errno::EPERM);
            }
            if let Some(node) = tree.process(other) {
                node.session.tty.lock().take();
            }
        }
        state.session = Some(sid);
        state.foreground = Some(group);
        *tty = Some(self.clone());
        Ok(())
    }

    /// The caller's session loses its terminal (or only the caller, if it does not lead).
    fn give_up(&self, task: &Task) -> Result<(), Errno> {
        if !self.controls(task) {
            return Err(Errno::ENOTTY);
        }
        let foreground = {
            let tree = task.kernel.tree.lock();
            let node = tree.process(task.process.pid).ok_or(Errno::ENOTTY)?;
            if node.session.sid != task.process.pid {
                return Ok(());
            }
            node.session.tty.lock().take();
            let mut state = self.state.lock();
            state.session = None;
            state.foreground.take()
        };
        if let Some(group) = foreground {
            task.kernel.signal_group(group, SigInfo::kernel(Signal::SIGHUP));
            task.kernel.signal_group(group, SigInfo::kernel(Signal::SIGCONT));
        }
        Ok(())
    }

    fn set_foreground(&self, cx: &Ctx<'_>, task: &Task, group: i32) -> Result<(), Errno> {
        let group = u32::try_from(group).map(Pid).map_err(|_| Errno::EINVAL)?;
        if !self.controls(task) {
            return Err(Errno::ENOTTY);
        }
        self.check_background(cx, Signal::SIGTTOU)?;
        let tree = task.kernel.tree.lock();
        let own = tree.process(task.process.pid).ok_or(Errno::ENOTTY)?;
        let mut members = tree.group(group).peekable();
        if members.peek().is_none() {
            return Err(Errno::ESRCH);
        }
        if !members.any(|node| node.session.sid == own.session.sid) {
            return Err(Errno::EPERM);
        }
        self.state.lock().foreground = Some(group);
        Ok(())
    }
}

pub(super) fn write_int(call: Ioctl<'_>, value: u32) -> Result<(), Errno> {
    call.mm.write(call.addr(), &value.to_le_bytes())
}
