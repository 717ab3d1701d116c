//! Sending signals (kill(2), tgkill(2)).

use std::sync::Arc;

use abi::{
    Errno, SigInfo, SigSet, Signal,
    signal::{DefaultAction, code},
};
use auth::Capability;

use crate::{Kernel, Pid, Process, Resource, Task};

/// Signals that stop.
const STOPS: SigSet = SigSet::of(Signal::SIGSTOP)
    .union(SigSet::of(Signal::SIGTSTP))
    .union(SigSet::of(Signal::SIGTTIN))
    .union(SigSet::of(Signal::SIGTTOU));

/// From where a signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A task of the sandbox, or the kernel: the first process is protected.
    Inside,
    /// The runtime: like a signal from a parent pid namespace.
    Outside,
}

impl Process {
    /// Sends a signal to the process: some task that does not block it takes it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if a real-time signal finds the queue full.
    pub fn send(&self, info: SigInfo, sender: Sender) -> Result<(), Errno> {
        let threads = self.threads();
        if !self.prepare(info, &threads, sender) {
            return Ok(());
        }
        let limit = self.limits.lock().soft(Resource::Sigpending);
        if !self.pending.lock().add(info, limit) {
            return if info.code == code::SI_USER { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        self.signal_sent.notify(abi::fs::poll::POLLIN);
        let taker = threads.iter().find(|task| task.wants(info.signal));
        if let Some(task) = taker {
            task.interrupt();
        }
        Ok(())
    }

    /// What sending does at once; false if nothing is to be queued.
    fn prepare(&self, info: SigInfo, threads: &[Arc<Task>], sender: Sender) -> bool {
        let signal = info.signal;
        if signal == Signal::SIGKILL {
            if self.pid == Pid::INIT && sender == Sender::Inside && info.code != code::SI_KERNEL {
                return false;
            }
            self.kill_all(crate::ExitStatus::Signaled { signal, core: false });
            return false;
        }
        if signal == Signal::SIGCONT {
            self.discard_pending(threads, STOPS);
            self.continue_all();
        } else if STOPS.has(signal) {
            self.discard_pending(threads, SigSet::of(Signal::SIGCONT));
        }
        // One that is blocked waits, since its action may change until it is taken.
        let blocked = threads.iter().any(|t| t.blocked().has(signal) || t.awaits(signal));
        let protected = self.pid == Pid::INIT && self.is_protected_from(info, sender);
        blocked || !(protected || self.actions().ignores(signal))
    }

    /// The first process gets no signal whose action is the default (`pid_namespaces(7)`), except
    /// SIGKILL and SIGSTOP from outside.
    fn is_protected_from(&self, info: SigInfo, sender: Sender) -> bool {
        let default = self.actions().get(info.signal).handler == abi::SigAction::DEFAULT;
        let forced = sender == Sender::Outside && info.signal.is_unblockable();
        let deadly = matches!(
            info.signal.default_action(),
            DefaultAction::Terminate | DefaultAction::Core | DefaultAction::Stop
        );
        default && deadly && !forced
    }

    fn discard_pending(&self, threads: &[Arc<Task>], set: SigSet) {
        self.pending.lock().discard(set);
        for task in threads {
            task.pending.lock().discard(set);
        }
    }
}

impl Task {
    /// Sends a signal to this task alone.
    ///
    /// # Errors
    ///
    /// As [`Process::send`].
    pub fn send(&self, info: SigInfo, sender: Sender) -> Result<(), Errno> {
        let threads = self.process.threads();
        if !self.process.prepare(info, &threads, sender) {
            return Ok(());
        }
        let limit = self.process.limits.lock().soft(Resource::Sigpending);
        if !self.pending.lock().add(info, limit) {
            return if info.code == code::SI_TKILL { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        self.process.signal_sent.notify(abi::fs::poll::POLLIN);
        if self.wants(info.signal) {
            self.interrupt();
        }
        Ok(())
    }

    /// True if this task may send `signal` to `target` (kill(2)).
    #[must_use]
    pub fn may_signal(&self, target: &Process, signal: Signal) -> bool {
        let Some(leader) = target.any_task() else { return true };
        let (mine, theirs) = (self.creds(), leader.creds());
        let same_user =
            [mine.euid, mine.ruid].iter().any(|uid| *uid == theirs.suid || *uid == theirs.ruid);
        let same_process = target.pid == self.process.pid;
        same_user || same_process || mine.has(Capability::Kill) || {
            signal == Signal::SIGCONT && self.kernel.same_session(self.process.pid, target.pid)
        }
    }
}

impl Kernel {
    /// True if both processes are in one session.
    #[must_use]
    pub fn same_session(&self, a: Pid, b: Pid) -> bool {
        let tree = self.tree.lock();
        match (tree.process(a), tree.process(b)) {
            (Some(a), Some(b)) => a.session.sid == b.session.sid,
            _ => false,
        }
    }

    /// Sends a signal of the kernel to all members of a process group (terminal, hang-up).
    pub fn signal_group(&self, group: Pid, info: SigInfo) {
        let members: Vec<_> = {
            let tree = self.tree.lock();
            tree.group(group).filter(|n| n.zombie.is_none()).map(|n| n.process.clone()).collect()
        };
        for process in members {
            let _ = process.send(info, Sender::Inside);
        }
    }
}
