//! What can be seen of the sandbox from outside.

use std::fmt::Write as _;

use control::ProcessEntry;
use kernel::{Kernel, Node, Process};

/// One line per living process.
pub(crate) fn processes(kernel: &Kernel) -> Vec<ProcessEntry> {
    let tree = kernel.tree.lock();
    tree.processes.values().filter(|node| node.zombie.is_none()).map(entry).collect()
}

fn entry(node: &Node) -> ProcessEntry {
    let process = &node.process;
    let task = process.any_task();
    let (user_ns, system_ns) = process.cpu_times();
    let number = |pid: kernel::Pid| i32::try_from(pid.0).unwrap_or(i32::MAX);
    ProcessEntry {
        pid: number(process.pid),
        ppid: node.parent.map_or(0, number),
        uid: task.as_ref().map_or(0, |task| task.creds().ruid),
        host_pid: None,
        state: if process.is_stopped() { "T" } else { "S" }.to_owned(),
        time_ms: (user_ns + system_ns) / 1_000_000,
        command: command(process),
    }
}

fn command(process: &Process) -> String {
    let name = process.any_task().map(|task| task.name_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}

/// All tasks, for a person.
pub(crate) fn dump(kernel: &Kernel) -> String {
    let tree = kernel.tree.lock();
    let mut text = String::new();
    for (tid, task) in &tree.tasks {
        let name = task.name_bytes();
        let _ = writeln!(
            text,
            "task {tid} of process {} {:?}: pending {:?}, blocked {:?}, {:?}",
            task.process.pid,
            String::from_utf8_lossy(&name),
            task.pending_set(),
            task.blocked(),
            task.entity(),
        );
    }
    for (number, count) in kernel.unknown_calls.lock().iter() {
        let _ = writeln!(text, "system call {number} is not served: asked for {count} times");
    }
    text
}
