//! The end of tasks and processes.

use std::sync::{Arc, atomic::Ordering};

use abi::{SigAction, SigFields, SigInfo, Signal, UserAddr, signal::code};

use super::Cx;
use crate::{ExitStatus, FdTable, Kernel, Pid, Process, Tree, signal::Sender};

impl Cx<'_> {
    /// Ends the task: gives back what it holds, and ends the process with the last one.
    pub(super) fn exit(&mut self) {
        let process = self.process();
        let status = process.exiting().or(self.exit);
        let status = status.unwrap_or(ExitStatus::Exited(0));
        self.release_futexes();
        self.finish_vfork();
        self.task.exe.lock().take();
        self.task.mm.lock().take();
        let files = self.task.files.lock().take();
        if let Some(files) = files {
            self.files = Arc::default();
            self.release_files(files);
        }
        let (user_ns, system_ns) = self.task.cpu_times();
        process.times.ended_user_ns.fetch_add(user_ns, Ordering::Relaxed);
        process.times.ended_system_ns.fetch_add(system_ns, Ordering::Relaxed);
        let tid = self.task.tid();
        let left = {
            let mut tree = self.kernel().tree.lock();
            tree.tasks.remove(&tid);
            process.remove_thread(tid)
        };
        if left == 0 {
            self.end_process(status);
        }
        process.child_changed.notify(1);
    }

    /// What other tasks wait for at the end of this one: its robust futexes and its tid.
    pub(super) fn release_futexes(&mut self) {
        self.kernel().futexes.release_robust(self);
        let addr = self.task.clear_child_tid.swap(0, Ordering::Relaxed);
        if addr != 0 && self.mm.write(UserAddr::new(addr), &0_u32.to_le_bytes()).is_ok() {
            self.kernel().futexes.wake_addr(&self.mm, UserAddr::new(addr), 1);
        }
    }

    /// The parent in vfork(2) goes on.
    pub(super) fn finish_vfork(&mut self) {
        if let Some(vfork) = self.task.vfork.lock().take() {
            vfork.finish();
        }
    }

    /// This task no longer uses `files`; the last one closes all descriptors.
    pub(crate) fn release_files(&self, files: Arc<FdTable>) {
        if let Some(files) = Arc::into_inner(files) {
            let env = self.env();
            files.close_all(&env.ctx());
        }
    }

    fn end_process(&self, status: ExitStatus) {
        let process = self.process();
        process.timers.disarm_all();
        self.kernel().process_ended(process, status);
    }
}

impl Kernel {
    /// A process has no task left: hands its children on, becomes a zombie, tells its parent.
    fn process_ended(self: &Arc<Self>, process: &Arc<Process>, status: ExitStatus) {
        let pid = process.pid;
        let mut hung_up = None;
        let mut orphaned = Vec::new();
        let mut reaper = None;
        let mut parent = None;
        {
            let mut tree = self.tree.lock();
            if let Some(node) = tree.process(pid)
                && node.session.sid == pid
            {
                hung_up = node.session.tty.lock().take();
            }
            orphaned.extend(self.groups_to_hang_up(&tree, pid));
            reaper = hand_over_children(&mut tree, pid).or(reaper);
            if let Some(node) = tree.processes.get_mut(&pid) {
                node.zombie = Some(status);
                parent = node.parent.map(|parent| (parent, node.exit_signal));
            }
            let parent_process = parent.and_then(|(pid, signal)| {
                tree.process(pid).map(|node| (node.process.clone(), signal))
            });
            match parent_process {
                Some((parent, signal)) => {
                    if reaps_by_itself(&parent, signal) {
                        tree.reap(pid);
                    }
                    drop(tree);
                    tell_parent(&parent, signal, process, status);
                }
                None => {
                    tree.reap(pid);
                }
            }
        }
        if let Some(tty) = hung_up {
            tty.hang_up();
        }
        for group in orphaned {
            self.signal_group(group, SigInfo::kernel(Signal::SIGHUP));
            self.signal_group(group, SigInfo::kernel(Signal::SIGCONT));
        }
        if let Some(reaper) = reaper {
            reaper.child_changed.notify(1);
        }
        self.finished(pid, status);
    }

    /// Groups of stopped processes that become orphaned by the end of `pid` (setpgid(2)).
    fn groups_to_hang_up(&self, tree: &Tree, pid: Pid) -> Vec<Pid> {
        let Some(node) = tree.process(pid) else { return Vec::new() };
        let children = node.children.iter().filter_map(|child| tree.process(*child));
        let mut groups: Vec<Pid> = children.map(|child| child.group).collect();
        groups.push(node.group);
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| {
            let stopped = tree.group(*group).any(|member| {
                member.process.pid != pid && member.zombie.is_none() && member.process.is_stopped()
            });
            stopped && tree.is_orphaned(*group, Some(pid))
        });
        groups
    }
}

/// Gives the children of `pid` to its reaper; returns it if it got any.
fn hand_over_children(tree: &mut Tree, pid: Pid) -> Option<Arc<Process>> {
    let children = std::mem::take(&mut tree.processes.get_mut(&pid)?.children);
    if children.is_empty() {
        return None;
    }
    let reaper = tree.reaper_of(pid);
    for child in &children {
        let Some(node) = tree.processes.get_mut(child) else { continue };
        node.parent = reaper;
        node.exit_signal = Signal::SIGCHLD.number();
        for task in node.process.threads() {
            let signal = task.parent_death_signal.load(Ordering::Relaxed);
            if let Some(signal) = Signal::new(u64::from(signal)) {
                let _ = task.process.send(SigInfo::user(signal, pid.0, 0), Sender::Inside);
            }
        }
        if reaper.is_none() && node.zombie.is_some() {
            tree.processes.remove(child);
        }
    }
    let node = tree.processes.get_mut(&reaper?)?;
    node.children.extend(children);
    let reaper = node.process.clone();
    reaper_signal(tree, &reaper);
    Some(reaper)
}

/// A reaper that ignores SIGCHLD waits for nobody: zombies it adopts are gone at once.
fn reaper_signal(tree: &mut Tree, reaper: &Arc<Process>) {
    if !reaps_by_itself(reaper, Signal::SIGCHLD.number()) {
        return;
    }
    let Some(node) = tree.process(reaper.pid) else { return };
    let zombies: Vec<Pid> = node
        .children
        .iter()
        .copied()
        .filter(|pid| tree.process(*pid).is_some_and(|child| child.zombie.is_some()))
        .collect();
    for pid in zombies {
        tree.reap(pid);
    }
}

/// True if a child of `parent` leaves no zombie (sigaction(2), `SA_NOCLDWAIT`).
fn reaps_by_itself(parent: &Process, exit_signal: u8) -> bool {
    if exit_signal != Signal::SIGCHLD.number() {
        return false;
    }
    let action = parent.actions().get(Signal::SIGCHLD);
    action.handler == SigAction::IGNORE || action.flags & SigAction::SA_NOCLDWAIT != 0
}

fn tell_parent(parent: &Arc<Process>, signal: u8, child: &Process, status: ExitStatus) {
    if let Some(signal) = Signal::new(u64::from(signal)) {
        let (user_ns, system_ns) = child.cpu_times();
        let (code, value) = match status {
            ExitStatus::Exited(value) => (code::CLD_EXITED, i32::from(value)),
            ExitStatus::Signaled { signal, core: false } => {
                (code::CLD_KILLED, i32::from(signal.number()))
            }
            ExitStatus::Signaled { signal, core: true } => {
                (code::CLD_DUMPED, i32::from(signal.number()))
            }
        };
        let ticks = |ns: u64| i64::try_from(ns / 10_000_000).unwrap_or(i64::MAX);
        let fields = SigFields::Child {
            pid: child.pid.0,
            uid: 0,
            status: value,
            utime: ticks(user_ns),
            stime: ticks(system_ns),
        };
        let _ = parent.send(SigInfo { signal, errno: 0, code, fields }, Sender::Inside);
    }
    parent.child_changed.notify(1);
}
