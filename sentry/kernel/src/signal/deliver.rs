//! Delivery of signals at the user boundary.

use abi::{Errno, SigAction, SigInfo, SigSet, Signal, signal::DefaultAction};

use super::{Pending, frame};
use crate::{
    ExitStatus, Pid, Task,
    task::{Cx, Restart},
};

/// Number of `restart_syscall(2)`.
const RESTART_SYSCALL: u64 = 219;

impl Task {
    /// Takes the next pending signal that is in `wanted`, its own or its process'.
    #[must_use]
    pub fn take_signal(&self, wanted: SigSet) -> Option<SigInfo> {
        let own = self.pending.lock().take(wanted);
        let info = own.or_else(|| self.process.pending.lock().take(wanted))?;
        Some(self.process.timers.taken(info))
    }
}

impl Cx<'_> {
    /// Takes and carries out pending signals, and settles the restart of an interrupted call.
    /// Called at the user boundary, before application code runs.
    pub(crate) fn deliver_signals(&mut self) {
        while !self.leaving() {
            let wanted = SigSet(!self.task.blocked().0);
            let Some(info) = self.task.take_signal(wanted) else { break };
            let action = self.task.process.actions().get(info.signal);
            match action.handler {
                SigAction::IGNORE => {}
                SigAction::DEFAULT => self.default_action(info),
                _ => self.handle(info, action),
            }
        }
        self.restart_without_handler();
        if let Some(mask) = self.task.saved_mask.lock().take() {
            self.task.set_blocked(mask);
        }
    }

    fn default_action(&mut self, info: SigInfo) {
        // It was blocked when it was sent: nothing but its own faults ends the first process.
        let by_fault = Pending::SYNCHRONOUS.has(info.signal) || info.signal.is_unblockable();
        if self.task.process.pid == Pid::INIT && !by_fault {
            return;
        }
        match info.signal.default_action() {
            DefaultAction::Ignore | DefaultAction::Continue => {}
            DefaultAction::Stop => {
                let job_control = info.signal != Signal::SIGSTOP;
                let process = &self.task.process;
                if job_control && self.task.kernel.is_group_orphaned(process.pid) {
                    return;
                }
                process.stop_all(info.signal);
                self.wait_while_stopped();
            }
            kind => {
                let core = kind == DefaultAction::Core;
                self.exit_group(ExitStatus::Signaled { signal: info.signal, core });
            }
        }
    }

    /// Arranges that the handler runs next.
    fn handle(&mut self, info: SigInfo, action: SigAction) {
        self.restart_before_handler(action);
        let saved = self.task.saved_mask.lock().take();
        let mask = saved.unwrap_or_else(|| self.task.blocked());
        if frame::push(self, info, action, mask).is_err() {
            tracing::debug!(tid = %self.task.tid(), signal = ?info.signal, "no room for a signal frame");
            self.exit_group(ExitStatus::Signaled { signal: Signal::SIGSEGV, core: true });
            return;
        }
        let mut blocked = mask.union(SigSet(action.mask));
        if action.flags & SigAction::SA_NODEFER == 0 {
            blocked = blocked.union(SigSet::of(info.signal));
        }
        self.task.set_blocked(blocked);
        if action.flags & SigAction::SA_RESETHAND != 0 {
            let reset = SigAction { handler: SigAction::DEFAULT, ..action };
            self.task.process.actions().set(info.signal, reset);
        }
    }

    /// An interrupted call that meets a handler: `EINTR`, or again once the handler is through.
    fn restart_before_handler(&mut self, action: SigAction) {
        let Some(errno) = self.take_restart() else { return };
        let again = match errno {
            Errno::ERESTARTNOINTR => true,
            Errno::ERESTARTSYS => action.flags & SigAction::SA_RESTART != 0,
            _ => false,
        };
        if again {
            self.repeat_call();
        } else {
            *self.task.restart.lock() = Restart::None;
            self.user.regs.rax = Errno::EINTR.to_return_value();
        }
    }

    /// An interrupted call that meets no handler goes on.
    fn restart_without_handler(&mut self) {
        match self.take_restart() {
            None => {}
            Some(Errno::ERESTART_RESTARTBLOCK) => {
                self.repeat_call();
                self.user.regs.rax = RESTART_SYSCALL;
            }
            Some(_) => self.repeat_call(),
        }
    }

    /// Sets the registers so that the same `syscall` instruction (2 bytes) runs once more.
    fn repeat_call(&mut self) {
        self.user.regs.rax = self.user.regs.orig_rax;
        self.user.regs.rip = self.user.regs.rip.wrapping_sub(2);
    }
}

/// Sends a signal that the task itself has caused and can't put off: if it is blocked or ignored,
/// the default action follows (as Linux' `force_sig`).
pub(crate) fn force(cx: &mut Cx<'_>, info: SigInfo) {
    let actions = cx.task.process.actions();
    let action = actions.get(info.signal);
    let blocked = cx.task.blocked().has(info.signal);
    if blocked || action.handler == SigAction::IGNORE {
        actions.set(info.signal, SigAction::default());
        cx.task.set_blocked(cx.task.blocked().without(SigSet::of(info.signal)));
    }
    cx.task.pending.lock().add(info, u64::MAX);
    cx.task.interrupt();
}
