//! Who is whose child, group and session: everything that relates processes, under one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{ExitStatus, Pid, Process, Session, Task};

/// Highest task number (Linux: `/proc/sys/kernel/pid_max`).
const PID_MAX: u32 = 32_768;
/// Most tasks of a sandbox.
pub(crate) const TASKS_MAX: usize = 30_000;

/// A process as its relatives see it.
#[derive(Debug, state::Save, state::Load)]
pub struct Node {
    /// The process.
    pub process: Arc<Process>,
    /// Its parent; `None` for the first process and for those that were put into the sandbox
    /// from outside (`runsc exec`).
    pub parent: Option<Pid>,
    /// Its children, zombies included.
    pub children: BTreeSet<Pid>,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Arc<Session>,
    /// The end, once it is a zombie.
    pub zombie: Option<ExitStatus>,
    /// The signal that its parent gets at its end (0: none).
    pub exit_signal: u8,
    /// It called execve(2) since it was forked (setpgid(2) by its parent is then refused).
    pub executed: bool,
    /// `PR_SET_CHILD_SUBREAPER`.
    pub subreaper: bool,
    /// A stop that wait(2) has not reported yet: the signal.
    pub stop_report: Option<u8>,
    /// A continuation that wait(2) has not reported yet.
    pub continue_report: bool,
}

/// All tasks and processes of the sandbox.
#[derive(Debug, Default, state::Save, state::Load)]
pub struct Tree {
    /// Processes, zombies included.
    pub processes: BTreeMap<Pid, Node>,
    /// Living tasks.
    pub tasks: BTreeMap<Pid, Arc<Task>>,
    last_pid: u32,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { processes: BTreeMap::new(), tasks: BTreeMap::new(), last_pid: 0 }
    }

    /// Takes the next free number.
    pub(crate) fn allocate_pid(&mut self) -> Option<Pid> {
        if self.tasks.len() >= TASKS_MAX {
            return None;
        }
        for _ in 0..PID_MAX {
            self.last_pid = if self.last_pid >= PID_MAX - 1 { 2 } else { self.last_pid + 1 };
            let pid = Pid(self.last_pid);
            let used = self.tasks.contains_key(&pid)
                || self.processes.contains_key(&pid)
                || self.processes.values().any(|n| n.group == pid || n.session.sid == pid);
            if !used {
                return Some(pid);
            }
        }
        None
    }

    /// The process of a number.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<&Node> {
        self.processes.get(&pid)
    }

    /// The members of a process group, zombies included.
    pub fn group(&self, group: Pid) -> impl Iterator<Item = &Node> {
        self.processes.values().filter(move |node| node.group == group)
    }

    /// True if no member of `group` has a parent in another group of the same session
    /// (setpgid(2), "orphaned process group"); `but` is left out, since it is about to go.
    #[must_use]
    pub fn is_orphaned(&self, group: Pid, but: Option<Pid>) -> bool {
        !self.group(group).any(|node| {
            let alive = node.zombie.is_none() && Some(node.process.pid) != but;
            let parent = node.parent.filter(|pid| Some(*pid) != but);
            let parent = parent.and_then(|pid| self.processes.get(&pid));
            alive
                && parent.is_some_and(|parent| {
                    parent.group != group && parent.session.sid == node.session.sid
                })
        })
    }

    /// Who adopts the children of `pid`: the nearest subreaper above, else the first process.
    #[must_use]
    pub fn reaper_of(&self, pid: Pid) -> Option<Pid> {
        let mut above = self.processes.get(&pid)?.parent;
        while let Some(candidate) = above {
            let node = self.processes.get(&candidate)?;
            if node.zombie.is_none() && node.subreaper {
                return Some(candidate);
            }
            above = node.parent;
        }
        let init = self.processes.get(&Pid::INIT)?;
        (init.zombie.is_none() && pid != Pid::INIT).then_some(Pid::INIT)
    }

    /// Removes a zombie that was waited for.
    pub fn reap(&mut self, pid: Pid) -> Option<Node> {
        let node = self.processes.remove(&pid)?;
        if let Some(parent) = node.parent.and_then(|parent| self.processes.get_mut(&parent)) {
            parent.children.remove(&pid);
        }
        Some(node)
    }
}
