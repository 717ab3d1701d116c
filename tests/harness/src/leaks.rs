//! What a container left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Pid;

use crate::run::wait_for_exit;

/// A process of the host, as far as this check looks.
#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    line: String,
    is_marked: bool,
}

/// Waits at most `limit` for the processes that carry `id` to end (a kill is heard a little later),
/// then says what is still there: processes, mounts, sockets, folders below `state`.
///
/// # Errors
///
/// When /proc cannot be read.
pub(crate) fn left_by(id: &str, state: &Path, limit: Duration) -> Result<Vec<String>> {
    let end = Instant::now() + limit;
    loop {
        let processes = processes_of(id)?;
        let Some(first) = processes.first() else { break };
        let rest = end.saturating_duration_since(Instant::now());
        let Some(pid) = Pid::from_raw(first.pid) else { break };
        if !wait_for_exit(pid, rest)? {
            let told = |process: &Process| format!("process {}: {}", process.pid, process.line);
            return Ok(processes.iter().map(told).collect());
        }
    }
    let mut left = lines_with(id, "/proc/self/mountinfo", "mount")?;
    left.extend(lines_with(id, "/proc/net/unix", "socket")?);
    left.extend(folders_with(id, state));
    Ok(left)
}

fn lines_with(id: &str, file: &str, what: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(file)?;
    Ok(text
        .lines()
        .filter(|line| line.contains(id))
        .map(|line| format!("{what}: {line}"))
        .collect())
}

fn folders_with(id: &str, state: &Path) -> Vec<String> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().contains(id))
        .map(|entry| format!("folder: {}", entry.path().display()))
        .collect()
}

/// Host pids of the processes that carry `id`, and of all that descend from them.
///
/// # Errors
///
/// When /proc cannot be read.
pub(crate) fn pids_of(id: &str) -> Result<Vec<i32>> {
    Ok(processes_of(id)?.iter().map(|process| process.pid).collect())
}

/// The processes that carry `id`, and all that descend from them; zombies are gone already.
fn processes_of(id: &str) -> Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // One that ends while we look is no leak.
        all.extend(pid.and_then(|pid| look_at(pid, id)));
    }
    let own = i32::try_from(std::process::id())?;
    let mut found: BTreeSet<i32> = all
        .iter()
        .filter(|process| process.is_marked && process.pid != own)
        .map(|p| p.pid)
        .collect();
    loop {
        let children: Vec<i32> = all
            .iter()
            .filter(|process| found.contains(&process.parent) && !found.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    all.retain(|process| found.contains(&process.pid));
    Ok(all)
}

fn look_at(pid: i32, id: &str) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain them.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    if state == "Z" || state == "X" {
        return None;
    }
    let read = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let line = read("cmdline");
    let is_marked = [&line, &read("environ"), &read("cgroup")].iter().any(|text| text.contains(id));
    Some(Process { pid, parent, line, is_marked })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_that_carries_the_id_is_found_with_its_child_until_it_ends() {
        let id = format!("leak-test-{}", std::process::id());
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 100 & read line; kill $!", &id])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let none = Path::new("/nowhere");
        let left = left_by(&id, none, Duration::ZERO).unwrap();
        assert!(!left.is_empty(), "{left:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(left_by(&id, none, Duration::from_secs(10)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_state_folder_that_carries_the_id_is_found() {
        let state = crate::scratch().unwrap();
        fs::create_dir(state.path().join("xyz-folder")).unwrap();
        let left = left_by("xyz-folder", state.path(), Duration::ZERO).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
