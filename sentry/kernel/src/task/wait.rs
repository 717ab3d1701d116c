//! Waiting for children (wait4(2), waitid(2)).

use std::sync::atomic::Ordering;

use abi::{Errno, Signal};
use sched::Wake;

use super::Cx;
use crate::{ExitStatus, Node, Pid, Tree};

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any.
    Any,
    /// The one of this number.
    Pid(Pid),
    /// Those of this process group.
    Group(Pid),
}

/// What to wait for, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag of waitid(2)")]
pub struct WaitOptions {
    /// `WEXITED`.
    pub exited: bool,
    /// `WSTOPPED`.
    pub stopped: bool,
    /// `WCONTINUED`.
    pub continued: bool,
    /// `WNOHANG`.
    pub no_hang: bool,
    /// `WNOWAIT`: leave it waitable.
    pub no_wait: bool,
    /// `__WCLONE`: only children that tell their end by another signal than SIGCHLD.
    pub clone: bool,
    /// `__WALL`: children of both kinds.
    pub all: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The child.
    pub pid: Pid,
    /// Its real user id.
    pub uid: u32,
    /// What happened.
    pub event: Event,
    /// Its CPU times in nanoseconds (user, system).
    pub times_ns: (u64, u64),
}

/// What a child did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It ended.
    Ended(ExitStatus),
    /// It stopped, by this signal.
    Stopped(Signal),
    /// It went on.
    Continued,
}

impl Event {
    /// As wait4(2) stores it.
    #[must_use]
    pub const fn to_wait_status(self) -> u32 {
        match self {
            Self::Ended(status) => status.to_wait_status(),
            Self::Stopped(signal) => (signal.number() as u32) << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }
}

impl Cx<'_> {
    /// Waits for a child; `None` if `no_hang` and none has done anything.
    ///
    /// # Errors
    ///
    /// `ECHILD` if there is no such child, `ERESTARTSYS` when interrupted.
    pub fn wait_child(
        &mut self,
        target: WaitTarget,
        options: WaitOptions,
    ) -> Result<Option<Waited>, Errno> {
        let process = self.process();
        let look = || match self.look_for_child(target, options) {
            Ok(None) if !options.no_hang => None,
            result => Some(result),
        };
        match sched::wait_until(self.fiber, &[&process.child_changed], 1, None, look) {
            Ok(result) => result,
            Err(Wake::Interrupted | Wake::Stopping | Wake::Woken | Wake::TimedOut) => {
                Err(Errno::ERESTARTSYS)
            }
        }
    }

    fn look_for_child(
        &self,
        target: WaitTarget,
        options: WaitOptions,
    ) -> Result<Option<Waited>, Errno> {
        let mut tree = self.kernel().tree.lock();
        let own = tree.process(self.process().pid).ok_or(Errno::ECHILD)?;
        let candidates: Vec<Pid> = own
            .children
            .iter()
            .copied()
            .filter(|pid| tree.process(*pid).is_some_and(|node| matches(node, target, options)))
            .collect();
        if candidates.is_empty() {
            return Err(Errno::ECHILD);
        }
        let found = candidates.iter().find_map(|pid| {
            let node = tree.processes.get_mut(pid)?;
            event_of(node, options).map(|event| (*pid, event))
        });
        Ok(found.map(|(pid, event)| self.collect(&mut tree, pid, event, options)))
    }

    fn collect(&self, tree: &mut Tree, pid: Pid, event: Event, options: WaitOptions) -> Waited {
        let node = tree.process(pid);
        let times_ns = node.map_or((0, 0), |node| {
            let (user, system) = node.process.cpu_times();
            let times = &node.process.times;
            (
                user + times.children_user_ns.load(Ordering::Relaxed),
                system + times.children_system_ns.load(Ordering::Relaxed),
            )
        });
        let uid = node.and_then(|n| n.process.any_task()).map_or(0, |task| task.creds().ruid);
        if matches!(event, Event::Ended(_)) && !options.no_wait {
            tree.reap(pid);
            let own = &self.process().times;
            own.children_user_ns.fetch_add(times_ns.0, Ordering::Relaxed);
            own.children_system_ns.fetch_add(times_ns.1, Ordering::Relaxed);
        }
        Waited { pid, uid, event, times_ns }
    }
}

fn matches(node: &Node, target: WaitTarget, options: WaitOptions) -> bool {
    let wanted = match target {
        WaitTarget::Any => true,
        WaitTarget::Pid(pid) => node.process.pid == pid,
        WaitTarget::Group(group) => node.group == group,
    };
    let is_clone = node.exit_signal != Signal::SIGCHLD.number();
    wanted && (options.all || is_clone == options.clone)
}

/// What there is to report of a child; takes reports of stops and continuations unless `no_wait`.
fn event_of(node: &mut Node, options: WaitOptions) -> Option<Event> {
    if let Some(status) = node.zombie {
        return options.exited.then_some(Event::Ended(status));
    }
    if options.stopped
        && let Some(signal) = node.stop_report.and_then(|number| Signal::new(u64::from(number)))
    {
        if !options.no_wait {
            node.stop_report = None;
        }
        return Some(Event::Stopped(signal));
    }
    if options.continued && node.continue_report {
        if !options.no_wait {
            node.continue_report = false;
        }
        return Some(Event::Continued);
    }
    None
}
