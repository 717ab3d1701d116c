//! Stands in for the Sentry in the tests of the control server: a process that is called `exit` ends at once
//! with the number in its second argument, any other runs until it is killed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use anyhow::Result;
use control::{Process, ProcessEntry, Report, Target, WindowSize};
use rustix::event::{EventfdFlags, eventfd};
use sentry::Stdio;

use super::kernel::Kernel;

#[derive(Debug)]
pub(super) struct Standin {
    exits: OwnedFd,
    processes: Mutex<BTreeMap<i32, (Process, Option<i32>)>>,
}

impl Standin {
    pub(super) fn new(process: Process) -> Result<Self> {
        let exits = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let processes = Mutex::new(BTreeMap::from([(1, (process, None))]));
        Ok(Self { exits, processes })
    }

    fn run(&self, pid: i32) {
        if let Some((process, status)) = self.lock().get_mut(&pid)
            && process.args[0] == "exit"
        {
            *status = process.args.get(1).and_then(|text| text.parse().ok());
        }
        self.ring();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, (Process, Option<i32>)>> {
        self.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.exits, &1_u64.to_ne_bytes());
    }
}

impl Kernel for Standin {
    fn start(&self) -> Result<(), Report> {
        self.run(1);
        Ok(())
    }

    fn exec(&self, process: Process, _: Stdio) -> Result<i32, Report> {
        let pid = self.lock().keys().max().map_or(1, |last| last + 1);
        self.lock().insert(pid, (process, None));
        self.run(pid);
        Ok(pid)
    }

    fn exit_status(&self, pid: Option<i32>) -> Option<i32> {
        self.lock().get(&pid.unwrap_or(1)).and_then(|(_, status)| *status)
    }

    fn exits(&self) -> BorrowedFd<'_> {
        self.exits.as_fd()
    }

    fn signal(&self, target: Target, signal: i32) -> Result<(), Report> {
        for (pid, (_, status)) in self.lock().iter_mut() {
            let meant = match target {
                Target::Init => *pid == 1,
                Target::All => true,
                Target::Pid(target) => *pid == target,
            };
            if meant && signal != 0 {
                status.get_or_insert(128 + signal);
            }
        }
        self.ring();
        Ok(())
    }

    fn processes(&self) -> Vec<ProcessEntry> {
        let entry = |(pid, (process, _)): (&i32, &(Process, Option<i32>))| ProcessEntry {
            pid: *pid,
            command: process.args.join(" "),
            ..ProcessEntry::default()
        };
        self.lock().iter().filter(|(_, (_, status))| status.is_none()).map(entry).collect()
    }

    fn resize(&self, _: Option<i32>, _: Option<WindowSize>) -> Result<(), Report> {
        Ok(())
    }

    fn pause(&self) -> Result<(), Report> {
        Ok(())
    }

    fn resume(&self) -> Result<(), Report> {
        Ok(())
    }

    fn dump(&self) -> String {
        format!("{self:?}")
    }

    fn leaks(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn save(&self, _: OwnedFd, _: OwnedFd) -> Result<(), Report> {
        Err(Report::new("save", "not supported yet"))
    }
}
