//! Stopping and continuing processes (SIGSTOP, SIGCONT, job control).

use std::sync::Arc;

use abi::{SigFields, SigInfo, Signal, signal::code};
use sched::{Wait, Wake};

use super::Cx;
use crate::{Kernel, Pid, Process};

impl Process {
    /// All its tasks are to stop.
    pub(crate) fn stop_all(&self, signal: Signal) {
        {
            let mut state = self.state.lock();
            if state.exiting.is_some() {
                return;
            }
            state.stopped_by = Some(signal);
            state.stop_reported = false;
        }
        for task in self.threads() {
            task.interrupt();
        }
    }

    /// All its tasks are to go on.
    pub(crate) fn continue_all(&self) {
        let was_stopped = {
            let mut state = self.state.lock();
            state.stopped_by.take().is_some() && state.stop_reported
        };
        let threads = self.threads();
        for task in &threads {
            if let Some(entity) = task.entity() {
                entity.wake();
            }
        }
        if was_stopped && let Some(task) = threads.first() {
            task.kernel.report_continue(self.pid);
        }
    }

    /// True while it is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped_by.is_some()
    }
}

impl Cx<'_> {
    /// Stands still as long as the process is stopped. The last task to do so tells the parent.
    pub(crate) fn wait_while_stopped(&mut self) {
        let process = self.process();
        let Some(signal) = process.state.lock().stopped_by else { return };
        let all_stand = {
            let count = process.thread_count();
            let mut state = process.state.lock();
            state.standing += 1;
            let all = state.standing >= count && !state.stop_reported;
            state.stop_reported |= all;
            all
        };
        if all_stand {
            self.kernel().report_stop(process.pid, signal);
        }
        while process.state.lock().stopped_by.is_some() && !self.task.is_dying() {
            let wake = self.fiber.block(Wait { deadline_ns: None, interruptible: false });
            if wake == Wake::Stopping {
                break;
            }
        }
        process.state.lock().standing -= 1;
    }
}

impl Kernel {
    fn report_stop(self: &Arc<Self>, pid: Pid, signal: Signal) {
        self.report(pid, code::CLD_STOPPED, signal, |node| {
            node.stop_report = Some(signal.number());
            node.continue_report = false;
        });
    }

    fn report_continue(self: &Arc<Self>, pid: Pid) {
        self.report(pid, code::CLD_CONTINUED, Signal::SIGCONT, |node| {
            node.continue_report = true;
            node.stop_report = None;
        });
    }

    fn report(
        self: &Arc<Self>,
        pid: Pid,
        code: i32,
        signal: Signal,
        note: impl FnOnce(&mut crate::Node),
    ) {
        let parent = {
            let mut tree = self.tree.lock();
            let Some(node) = tree.processes.get_mut(&pid) else { return };
            note(node);
            let parent = node.parent;
            parent.and_then(|parent| tree.process(parent)).map(|node| node.process.clone())
        };
        let Some(parent) = parent else { return };
        let chld = parent.actions().get(Signal::SIGCHLD);
        if chld.flags & abi::SigAction::SA_NOCLDSTOP == 0 {
            let status = i32::from(signal.number());
            let fields = SigFields::Child { pid: pid.0, uid: 0, status, utime: 0, stime: 0 };
            let info = SigInfo { signal: Signal::SIGCHLD, errno: 0, code, fields };
            let _ = parent.send(info, crate::signal::Sender::Inside);
        }
        parent.child_changed.notify(1);
    }

    /// True if the process group of `pid` is orphaned.
    #[must_use]
    pub fn is_group_orphaned(&self, pid: Pid) -> bool {
        let tree = self.tree.lock();
        tree.process(pid).is_none_or(|node| tree.is_orphaned(node.group, None))
    }
}
