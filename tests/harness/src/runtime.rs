//! An OCI runtime under test, with a state folder of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::bundle::Bundle;
use crate::container::Container;
use crate::leaks;
use crate::paths::{our_runsc, scratch};
use crate::run::{Output, Run};

/// How long the processes of a deleted container may take to be gone.
const ENDING: Duration = Duration::from_secs(10);

/// Which runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The reference: tells whether a test is right.
    Runc,
    /// Ours on the ptrace platform.
    Ptrace,
    /// Ours on the KVM platform.
    Kvm,
}

/// A runtime and its state folder, which vanishes with this value.
#[derive(Debug)]
pub struct Runtime {
    kind: Kind,
    state: TempDir,
    debug_log: Option<PathBuf>,
}

impl Runtime {
    /// Makes its state folder.
    ///
    /// # Errors
    ///
    /// When that fails, or our runsc is not built.
    pub fn new(kind: Kind) -> Result<Self> {
        let runsc = our_runsc();
        ensure!(
            kind == Kind::Runc || runsc.exists(),
            "{} is not there: cargo xtask build",
            runsc.display()
        );
        Ok(Self { kind, state: scratch()?, debug_log: None })
    }

    /// The same, with a debug log in `file`; for our own runtime.
    #[must_use]
    pub fn with_debug_log(self, file: PathBuf) -> Self {
        Self { debug_log: Some(file), ..self }
    }

    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// A command of the runtime, to be completed by verb and arguments.
    ///
    /// The variable `RUNSC_FLAGS` adds flags to our own (`--debug --debug-log=…`).
    #[must_use]
    pub fn command(&self) -> Run {
        let (program, platform) = match self.kind {
            Kind::Runc => ("runc".into(), None),
            Kind::Ptrace => (our_runsc(), Some("--platform=ptrace")),
            Kind::Kvm => (our_runsc(), Some("--platform=kvm")),
        };
        let flags = std::env::var("RUNSC_FLAGS").ok().filter(|_| platform.is_some());
        let flags = flags.unwrap_or_default();
        let run = Run::new(program).arg("--root").arg(self.state()).args(platform);
        let run = match &self.debug_log {
            Some(file) => run.arg("--debug").arg("--debug-log").arg(file),
            None => run,
        };
        run.args(flags.split_whitespace())
    }

    /// Runs `bundle` to its end and removes the container.
    ///
    /// # Errors
    ///
    /// When the runtime cannot be started; a failing container is not an error.
    pub fn run(&self, bundle: &Bundle) -> Result<Output> {
        self.run_within(bundle, Duration::from_secs(60))
    }

    /// As [`run`](Self::run), with a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_within(&self, bundle: &Bundle, deadline: Duration) -> Result<Output> {
        let run = self.command().args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        let output = run.deadline(deadline).output()?;
        if output.timed_out {
            self.delete_by_force(&bundle.id())?;
        }
        Ok(output)
    }

    /// Creates a container that waits for its start.
    ///
    /// # Errors
    ///
    /// When the runtime refuses, with its words.
    pub fn create<'a>(&'a self, bundle: &'a Bundle) -> Result<Container<'a>> {
        Container::create(self, bundle, &[])
    }

    /// Removes whatever is left of the container `id`.
    ///
    /// # Errors
    ///
    /// When the runtime cannot be started.
    pub fn delete_by_force(&self, id: &str) -> Result<Output> {
        self.command().args(["delete", "--force", id]).output()
    }

    /// Says what the container `id` left behind: nothing, if all is well.
    ///
    /// # Errors
    ///
    /// When the host cannot be looked at.
    pub fn left_by(&self, id: &str) -> Result<Vec<String>> {
        leaks::left_by(id, self.state(), ENDING)
    }
}
