//! The Sentry as the control server sees it. No method waits for a program.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use abi::{SigInfo, Signal};
use control::{Process, ProcessEntry, Report, Target, WindowSize};
use fs::{
    Shared,
    devpts::{Devpts, Master},
};
use host::{Bell, MemoryObject};
use kernel::{FsContext, Kernel, Pid, Task, signal::Sender};
use platform::Platform;
use sched::{Listener, Mutex, Notify, StopGuard};
use vfs::MountNamespace;

use crate::{
    boot::{self, Booted},
    checkpoint::{self, Image},
    config::{Config, LoadConfig, Stdio},
    inspect, job, leaks, process, stdio,
    terminal::Relay,
};

/// A Sentry with one container.
pub struct Sentry {
    kernel: Arc<Kernel>,
    shared: Arc<Shared>,
    mounts: Arc<MountNamespace>,
    init: Arc<Task>,
    devpts: Arc<Devpts>,
    /// Relays by process.
    terminals: Mutex<BTreeMap<Pid, Arc<Relay>>>,
    exits: Arc<ExitBell>,
    stopped: Mutex<Option<StopGuard>>,
    /// It goes on where a saved one was: all its tasks are to run.
    loaded: bool,
}

/// Rings when a process from outside has ended.
struct ExitBell(Bell);

impl Notify for ExitBell {
    fn notify(&self, _events: u32) {
        self.0.ring();
    }
}

impl Sentry {
    /// Makes a container as `config` says; its first process does not run yet.
    ///
    /// # Errors
    ///
    /// A report that says which step failed, and on what.
    pub fn new(
        platform: &Arc<dyn Platform>,
        object: Arc<MemoryObject>,
        config: Config,
    ) -> Result<Self, Report> {
        let bell = Bell::new().map_err(|e| Report::from_io("make an eventfd", &e.into()))?;
        let exits = Arc::new(ExitBell(bell));
        let booted = boot::boot(platform, object, config)?;
        Ok(Self::with(booted, exits, false))
    }

    /// Makes a container that goes on where a saved one was; its tasks do not run yet.
    ///
    /// # Errors
    ///
    /// A report that says what could not be loaded.
    pub fn load(
        platform: &Arc<dyn Platform>,
        object: Arc<MemoryObject>,
        config: LoadConfig,
    ) -> Result<Self, Report> {
        let bell = Bell::new().map_err(|e| Report::from_io("make an eventfd", &e.into()))?;
        let exits = Arc::new(ExitBell(bell));
        let booted = checkpoint::load(platform, object, config)?;
        Ok(Self::with(booted, exits, true))
    }

    fn with(booted: Booted, exits: Arc<ExitBell>, loaded: bool) -> Self {
        let pid = booted.init.process.pid;
        let terminals = booted.terminal.map(|relay| (pid, relay)).into_iter().collect();
        let weak = Arc::downgrade(&exits);
        booted.kernel.finished_queue.add(&Listener::callback(weak, 1));
        Self {
            kernel: booted.kernel,
            shared: booted.shared,
            mounts: booted.mounts,
            init: booted.init,
            devpts: booted.devpts,
            terminals: Mutex::new(terminals),
            exits,
            stopped: Mutex::new(None),
            loaded,
        }
    }

    /// Lets the first process run.
    pub fn start(&self) {
        if self.loaded {
            self.kernel.launch_all();
        } else {
            self.kernel.launch(&self.init);
        }
    }

    /// Runs one more process; returns its number.
    ///
    /// # Errors
    ///
    /// A report that says which step failed, and on what.
    pub fn exec(&self, process: Process, stdio: Stdio) -> Result<i32, Report> {
        if self.stopped.lock().is_some() {
            return Err(Report::new("exec", "container is paused"));
        }
        let (kernel, mounts) = (self.kernel.clone(), self.mounts.clone());
        let (shared, devpts) = (self.shared.clone(), self.devpts.clone());
        let (task, terminal) = job::run(&self.kernel.sched, move |fiber| {
            let fs = FsContext::new(mounts.root(), mounts.clone(), 0);
            let streams = stdio::table(fiber, &kernel, &shared, &devpts, &fs, (stdio, false))?;
            let task = process::load(fiber, &kernel, &mounts, streams.files, &process)?;
            if let Some(master) = &streams.master {
                process::give_terminal(&task, master, process.terminal);
            }
            Ok((task, streams.terminal))
        })?;
        if let Some(relay) = terminal {
            self.terminals.lock().insert(task.process.pid, relay);
        }
        self.kernel.launch(&task);
        Ok(i32::try_from(task.process.pid.0).unwrap_or(i32::MAX))
    }

    /// The exit status of a process that has ended (128 + signal for a kill); `None` is the first.
    #[must_use]
    pub fn exit_status(&self, pid: Option<i32>) -> Option<i32> {
        let pid = pid.map_or(self.init.process.pid, |pid| Pid(pid.unsigned_abs()));
        self.kernel.exit_status(pid).map(|status| i32::from(status.to_shell_status()))
    }

    /// Readable, as an eventfd, when a status may have become known.
    #[must_use]
    pub fn exits(&self) -> BorrowedFd<'_> {
        self.exits.0.as_fd()
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// If there is no such process or signal.
    pub fn signal(&self, target: Target, signal: i32) -> Result<(), Report> {
        let processes = self.targets(target);
        if processes.is_empty() {
            return Err(Report::new("kill", "no such process"));
        }
        if signal == 0 {
            return Ok(());
        }
        let number = u64::try_from(signal).ok().and_then(Signal::new);
        let signal = number.ok_or_else(|| Report::new("kill", format!("no signal {signal}")))?;
        for process in processes {
            let _ = process.send(SigInfo::user(signal, 0, 0), Sender::Outside);
        }
        Ok(())
    }

    fn targets(&self, target: Target) -> Vec<Arc<kernel::Process>> {
        let tree = self.kernel.tree.lock();
        let init = self.init.process.pid;
        let wanted = |pid: Pid| match target {
            Target::Init => pid == init,
            Target::All => true,
            Target::Pid(number) => i64::from(pid.0) == i64::from(number),
        };
        let living = tree.processes.values().filter(|node| node.zombie.is_none());
        living.map(|node| node.process.clone()).filter(|process| wanted(process.pid)).collect()
    }

    /// All processes.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessEntry> {
        inspect::processes(&self.kernel)
    }

    /// The terminal of a process has a new size; without one it is read from the host's terminal.
    ///
    /// # Errors
    ///
    /// If the process has no terminal.
    pub fn resize(&self, pid: Option<i32>, size: Option<WindowSize>) -> Result<(), Report> {
        let pid = pid.map_or(self.init.process.pid, |pid| Pid(pid.unsigned_abs()));
        let relay = self.terminals.lock().get(&pid).cloned();
        let relay = relay.ok_or_else(|| Report::new("resize", "the process has no terminal"))?;
        match size {
            Some(size) => relay.set_size([size.rows, size.columns, 0, 0]),
            None => relay.take_size(),
        }
        Ok(())
    }

    /// Holds all tasks.
    ///
    /// # Errors
    ///
    /// If they are held already.
    pub fn pause(&self) -> Result<(), Report> {
        let mut stopped = self.stopped.lock();
        if stopped.is_some() {
            return Err(Report::new("pause", "container is paused already"));
        }
        *stopped = Some(self.kernel.sched.stop());
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    ///
    /// If they are not held.
    pub fn resume(&self) -> Result<(), Report> {
        match self.stopped.lock().take() {
            Some(_) => Ok(()),
            None => Err(Report::new("resume", "container is not paused")),
        }
    }

    /// Describes all tasks.
    #[must_use]
    pub fn dump(&self) -> String {
        inspect::dump(&self.kernel)
    }

    /// What is alive although all tasks have ended; each with its number.
    #[must_use]
    pub fn leaks(&self) -> Vec<(&'static str, u64)> {
        leaks::find(&self.kernel, &self.mounts, self.terminals.lock().len())
    }

    /// The container's terminal. Those of other processes from outside can't go on.
    fn console(&self) -> Result<Option<Arc<Master>>, Report> {
        let terminals = self.terminals.lock();
        let other = terminals
            .keys()
            .find(|pid| **pid != self.init.process.pid && self.kernel.exit_status(**pid).is_none());
        if let Some(pid) = other {
            let message = format!("process {pid}, put in by exec, has a terminal");
            return Err(Report::new("save", message));
        }
        let console = terminals.get(&self.init.process.pid);
        Ok(console.map(|relay| relay.master().clone()))
    }

    /// Writes all state to `state` and all memory to `pages`.
    ///
    /// # Errors
    ///
    /// What can't be saved is named.
    pub fn save(&self, state: OwnedFd, pages: OwnedFd) -> Result<(), Report> {
        let stopped = self.stopped.lock();
        let _at_rest = if stopped.is_none() { Some(self.kernel.sched.stop()) } else { None };
        let image = Image {
            kernel: self.kernel.clone(),
            shared: self.shared.clone(),
            mounts: self.mounts.clone(),
            init: self.init.clone(),
            devpts: self.devpts.clone(),
            network: net::Namespace::made(&self.kernel),
            console: self.console()?,
            monotonic_ns: host::clock::monotonic_ns(),
        };
        checkpoint::save(image, state, pages)
    }
}

impl std::fmt::Debug for Sentry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sentry").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}
