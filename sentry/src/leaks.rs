//! What a container leaves behind when its last task has ended.
//!
//! Only what nothing holds any more ends, so a number that stays is a cycle of references or a
//! forgotten one. Meant for tests and for `--debug`: counters are of the whole host process.

use kernel::{Kernel, Pid};
use vfs::MountNamespace;

/// Types whose objects tasks alone keep alive.
///
/// Not counted here, since they live as long as their mounts: `Mount`, and the inodes and dentries
/// that names or caches of a mounted file system hold (`Dentry`, `tmpfs::Node`; the `Pipe`, then
/// empty, of a FIFO).
const OF_TASKS: &[&str] = &[
    "Task",
    "Process",
    "FsContext",
    "FdTable",
    "MemoryManager",
    "OpenFile",
    "PipeEnd",
    "EventFd",
    "SignalFd",
    "TimerFd",
    "Epoll",
    "Memfd",
    "Socket",
    "Terminal",
];

/// Objects that are alive though they should not be, by type. `terminals`: how many the Sentry
/// relays. Empty when all is well; not empty as long as tasks are still ending.
pub(crate) fn find(
    kernel: &Kernel,
    mounts: &MountNamespace,
    terminals: usize,
) -> Vec<(&'static str, u64)> {
    let kept = Kept::of(kernel, terminals);
    let counted = state::live::totals().filter(|(name, _)| OF_TASKS.contains(name));
    let objects = counted.map(|(name, alive)| (name, alive.saturating_sub(kept.count(name))));
    let waiters = ("futex waiter", kernel.futexes.waiters() as u64);
    let timers = ("armed timer", kernel.sched.timers().armed() as u64);
    let locks = ("table of file locks in use", u64::from(!mounts.locks().is_empty()));
    let memory = ("byte of anonymous memory", kernel.charge.usage().anonymous);
    objects.chain([waiters, timers, locks, memory]).filter(|(_, count)| *count > 0).collect()
}

/// What stays by design.
struct Kept {
    /// Zombies that nobody has waited for, and init, which the Sentry holds.
    processes: u64,
    terminals: u64,
}

impl Kept {
    fn of(kernel: &Kernel, terminals: usize) -> Self {
        let tree = kernel.tree.lock();
        let init = usize::from(!tree.processes.contains_key(&Pid::INIT));
        Self { processes: (tree.processes.len() + init) as u64, terminals: terminals as u64 }
    }

    fn count(&self, name: &str) -> u64 {
        match name {
            // The Sentry's reference to init; a task keeps its context to its end.
            "Task" | "FsContext" => 1,
            "Process" => self.processes,
            "Terminal" => self.terminals,
            _ => 0,
        }
    }
}
