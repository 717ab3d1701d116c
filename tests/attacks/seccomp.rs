//! What stands around Sentry and Gofer after start.
#![forbid(unsafe_code)]

use std::fs;

use anyhow::{Context, Result, ensure};
use attack_tests::{allowed, installed, name};
use harness::{Bundle, Kind, Rootfs, Runtime};

const SENTRY_CALLS_MAX: usize = 60;
const GOFER_CALLS_MAX: usize = 45;

/// A process of a container, as far as /proc tells.
struct Process {
    pid: i32,
    line: String,
    status: String,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { pid, line: String::from_utf8_lossy(&line).replace('\0', " "), status })
    }

    fn field(&self, name: &str) -> Result<&str> {
        let found = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::trim).with_context(|| format!("no {name} in the status of {}", self.line))
    }

    /// Every wall that a wrong start would leave out.
    fn is_confined(&self, calls_max: usize) -> Result<()> {
        let calls = allowed(&installed(self.pid)?);
        let names: Vec<String> = calls.iter().map(|number| name(*number)).collect();
        println!("{}: {} host calls: {}", self.line, names.len(), names.join(" "));
        ensure!(calls.len() <= calls_max, "{}: {} calls", self.line, calls.len());
        for dangerous in ["execve", "execveat", "mount", "setns", "unshare", "bpf", "init_module"] {
            ensure!(!names.iter().any(|name| name == dangerous), "{}: {dangerous}", self.line);
        }
        ensure!(self.field("Seccomp")? == "2", "{}: no filter", self.line);
        ensure!(self.field("NoNewPrivs")? == "1", "{}: new privileges", self.line);
        Ok(())
    }

    /// Whether every thread is filtered as the first one is.
    fn threads_agree(&self) -> Result<()> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let status = fs::read_to_string(entry?.path().join("status"))?;
            ensure!(status.contains("Seccomp:\t2"), "a thread without filter: {status}");
        }
        Ok(())
    }
}

#[test]
fn sentry_and_gofer_can_make_few_host_calls() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sleep", "1000"])?;
    let container = runtime.create(&bundle)?;
    container.start()?;
    let sentry = Process::read(container.pid()?).context("no Sentry")?;
    sentry.is_confined(SENTRY_CALLS_MAX)?;
    sentry.threads_agree()?;
    ensure!(sentry.field("CapEff")? == "0000000000000000", "the Sentry has capabilities");
    let root = fs::read_dir(format!("/proc/{}/root/", sentry.pid))?.count();
    ensure!(root == 0, "the Sentry's root has {root} entries");

    let processes = container.processes()?;
    let gofers: Vec<Process> = processes
        .into_iter()
        .filter_map(Process::read)
        .filter(|process| process.line.contains("gofer"))
        .collect();
    ensure!(gofers.len() == 1, "{} Gofers", gofers.len());
    for gofer in &gofers {
        gofer.is_confined(GOFER_CALLS_MAX)?;
        gofer.threads_agree()?;
    }
    Ok(())
}
