//! A pseudo-terminal: what master and slave share.

use std::{any::Any, sync::Arc};

use abi::{
    Errno, SigInfo, Signal,
    fs::poll::{POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
    signal::DefaultAction,
};
use kernel::{ControllingTty, Kernel, Pid, Task};
use sched::{Mutex, WaitQueue};
use state::live::Live;
use vfs::Ctx;

use super::line::Line;

/// A pseudo-terminal.
#[derive(Debug, state::Save, state::Load)]
pub struct Terminal {
    pub(super) index: u32,
    pub(super) state: Mutex<State>,
    #[state(skip)]
    pub(super) master_queue: WaitQueue,
    #[state(skip)]
    pub(super) slave_queue: WaitQueue,
    #[state(skip)]
    _live: Live<Self>,
}

#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct State {
    pub(super) line: Line,
    /// Rows, columns, and the size in pixels.
    pub(super) size: [u16; 4],
    /// The session that it controls.
    pub(super) session: Option<Pid>,
    /// The foreground process group.
    pub(super) foreground: Option<Pid>,
    /// Open descriptions of the slave.
    pub(super) slaves: usize,
    /// A slave was open once.
    pub(super) was_open: bool,
    /// The master is closed.
    pub(super) hung_up: bool,
    /// The slave can't be opened yet (`TIOCSPTLCK`).
    pub(super) locked: bool,
    /// Packet mode (`TIOCPKT`).
    pub(super) packet: bool,
}

/// Events that let a reader go on.
pub(super) const READABLE: u32 = POLLIN | POLLRDNORM;
/// Events that let a writer go on.
pub(super) const WRITABLE: u32 = POLLOUT | POLLWRNORM;

impl Terminal {
    pub(super) fn new(index: u32, locked: bool) -> Arc<Self> {
        Arc::new(Self {
            index,
            state: Mutex::new(State { locked, ..State::default() }),
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
            _live: Live::new(),
        })
    }

    /// Its number: the name of its slave.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Sets rows, columns and the size in pixels; the foreground group gets SIGWINCH.
    pub fn resize(&self, kernel: &Kernel, size: [u16; 4]) {
        let group = {
            let mut state = self.state.lock();
            if state.size == size {
                return;
            }
            state.size = size;
            state.foreground
        };
        if let Some(group) = group {
            kernel.signal_group(group, SigInfo::kernel(Signal::SIGWINCH));
        }
    }

    /// Takes bytes that were typed; returns how many. Signals go to the foreground group.
    pub(super) fn type_in(&self, kernel: &Kernel, bytes: &[u8]) -> Result<usize, Errno> {
        let (effect, group) = {
            let mut state = self.state.lock();
            let effect = state.line.input(bytes);
            (effect, state.foreground)
        };
        if let (Some(signal), Some(group)) = (effect.signal, group) {
            kernel.signal_group(group, SigInfo::kernel(signal));
        }
        self.slave_queue.notify(READABLE | WRITABLE);
        self.master_queue.notify(READABLE);
        if effect.taken == 0 && !bytes.is_empty() { Err(Errno::EAGAIN) } else { Ok(effect.taken) }
    }

    /// The master has closed: readers and writers of the slave see the end, the session gets
    /// SIGHUP.
    pub(super) fn close_master(&self, kernel: Option<&Arc<Kernel>>) {
        let (session, foreground) = {
            let mut state = self.state.lock();
            state.hung_up = true;
            (state.session.take(), state.foreground.take())
        };
        self.slave_queue.notify(READABLE | WRITABLE | POLLHUP);
        let Some(kernel) = kernel else { return };
        if let Some(leader) = session {
            let process = {
                let tree = kernel.tree.lock();
                if let Some(node) = tree.process(leader) {
                    node.session.tty.lock().take();
                }
                tree.process(leader).map(|node| node.process.clone())
            };
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                if let Some(process) = &process {
                    let _ = process.send(SigInfo::kernel(signal), kernel::signal::Sender::Inside);
                }
            }
        }
        if let Some(group) = foreground {
            kernel.signal_group(group, SigInfo::kernel(Signal::SIGHUP));
            kernel.signal_group(group, SigInfo::kernel(Signal::SIGCONT));
        }
    }

    /// Job control: a caller of the background may not read (or, with `TOSTOP`, write, or set
    /// attributes). It gets `signal`, and the call is repeated once it is continued.
    pub(super) fn check_background(&self, cx: &Ctx<'_>, signal: Signal) -> Result<(), Errno> {
        let Some(task) = caller(cx) else { return Ok(()) };
        let (session, foreground) = {
            let state = self.state.lock();
            (state.session, state.foreground)
        };
        let (group, own_session) = {
            let tree = task.kernel.tree.lock();
            match tree.process(task.process.pid) {
                Some(node) => (node.group, node.session.sid),
                None => return Ok(()),
            }
        };
        if session != Some(own_session) || foreground.is_none_or(|fg| fg == group) {
            return Ok(());
        }
        let actions = task.process.actions();
        let ignored = actions.get(signal).handler == abi::SigAction::IGNORE;
        let blocked = task.blocked().has(signal);
        debug_assert!(signal.default_action() == DefaultAction::Stop);
        if ignored || blocked {
            return if signal == Signal::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if task.kernel.is_group_orphaned(task.process.pid) {
            return Err(Errno::EIO);
        }
        task.kernel.signal_group(group, SigInfo::kernel(signal));
        Err(Errno::ERESTARTSYS)
    }
}

/// The calling task.
pub(super) fn caller<'a>(cx: &Ctx<'a>) -> Option<&'a Task> {
    cx.task.and_then(|task| (**task).downcast_ref::<Task>())
}

impl ControllingTty for Terminal {
    fn hang_up(&self) {
        let mut state = self.state.lock();
        state.session = None;
        state.foreground = None;
    }

    fn foreground(&self) -> Option<Pid> {
        self.state.lock().foreground
    }

    fn device(&self) -> u64 {
        abi::fs::make_dev(super::fs::SLAVE_MAJOR, self.index)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
