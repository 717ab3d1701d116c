//! SIGKILL of any process of a container, at any moment: it is stopped and can be deleted.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Bundle, Container, Kind, Rootfs, Runtime};
use rustix::process::{Pid, Signal, kill_process};

const ENDING: Duration = Duration::from_secs(20);

/// Busy in all the ways that matter: children, pipes, open files.
const BUSY: &str = "while :; do echo x | cat >/tmp/f; ls / >/dev/null; done & sleep 1000 & wait";

fn kill(pid: i32) -> Result<()> {
    // One that ended by itself is dead as well.
    let _ = kill_process(Pid::from_raw(pid).context("pid")?, Signal::KILL);
    Ok(())
}

/// Stopped by the container's own account, then deleted without a trace.
fn is_removable(runtime: &Runtime, container: &Container<'_>) -> Result<()> {
    container.wait_stopped(ENDING)?;
    let status = container.status()?;
    ensure!(status == "stopped", "{status}");
    container.delete()?;
    let left = runtime.left_by(container.id())?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

fn after_a_kill_of(choose: impl Fn(&Container<'_>) -> Result<Vec<i32>>) -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", BUSY])?;
    let container = runtime.create(&bundle)?;
    container.start()?;
    choose(&container)?.into_iter().try_for_each(kill)?;
    is_removable(&runtime, &container)
}

#[test]
fn a_killed_sentry_leaves_a_stopped_container() -> Result<()> {
    after_a_kill_of(|container| Ok(vec![container.pid()?]))
}

#[test]
fn everything_killed_at_once_leaves_a_stopped_container() -> Result<()> {
    after_a_kill_of(|container| container.processes())
}

#[test]
fn a_container_killed_before_its_start_is_removable() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/true"])?;
    let container = runtime.create(&bundle)?;
    kill(container.pid()?)?;
    is_removable(&runtime, &container)
}

/// Whichever single process dies, the container either goes on or is stopped, and is removable.
#[test]
fn any_single_process_may_be_killed() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    for which in 0..6 {
        let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", BUSY])?;
        let container = runtime.create(&bundle)?;
        container.start()?;
        let processes = container.processes()?;
        let victim = processes.get(which % processes.len().max(1)).context("no processes")?;
        kill(*victim)?;
        let output = container.verb("state").output()?.success()?;
        ensure!(output.stdout.contains("status"), "{output:?}");
        runtime.delete_by_force(container.id())?.success()?;
        let left = runtime.left_by(container.id())?;
        ensure!(left.is_empty(), "process {which}: left behind: {left:#?}");
    }
    Ok(())
}

/// A `run` that is killed takes its container along, or leaves one that can be removed.
#[test]
fn a_killed_run_leaves_nothing_that_delete_cannot_remove() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    for deadline_ms in [1, 20, 60, 150, 400] {
        let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sleep", "1000"])?;
        // The deadline is what kills it.
        let output = runtime.run_within(&bundle, Duration::from_millis(deadline_ms))?;
        ensure!(output.timed_out, "{output:?}");
        let left = runtime.left_by(&bundle.id())?;
        ensure!(left.is_empty(), "after {deadline_ms} ms: left behind: {left:#?}");
    }
    Ok(())
}
