//! A created container, deleted by force with its value.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::leaks;
use crate::run::{Output, Run, wait_for_exit, whole};
use crate::runtime::Runtime;

/// A container between its `create` and its `delete`.
#[derive(Debug)]
pub struct Container<'a> {
    runtime: &'a Runtime,
    id: String,
    stdout: File,
    stderr: File,
}

impl<'a> Container<'a> {
    /// `create`, with more flags.
    ///
    /// # Errors
    ///
    /// When the runtime refuses, with its words.
    pub fn create(runtime: &'a Runtime, bundle: &'a Bundle, flags: &[&str]) -> Result<Self> {
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let id = bundle.id();
        let mut container = Self { runtime, id, stdout, stderr };
        let run = runtime.command().args(["create", "--bundle"]).arg(bundle.path());
        let (status, timed_out) =
            run.args(flags).arg(&container.id).into_files(&container.stdout, &container.stderr)?;
        ensure!(!timed_out, "create timed out: {}", container.stderr()?);
        ensure!(status.success(), "create: {status}: {}", container.stderr()?);
        Ok(container)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A command about this container: verb, then the id; arguments may follow.
    #[must_use]
    pub fn verb(&self, verb: &str) -> Run {
        self.runtime.command().arg(verb).arg(&self.id)
    }

    /// `start`.
    ///
    /// # Errors
    ///
    /// When the runtime refuses, with its words.
    pub fn start(&self) -> Result<()> {
        self.verb("start").output()?.success().map(|_| ())
    }

    /// `exec` of `args`, to its end.
    ///
    /// # Errors
    ///
    /// When the runtime cannot be started; a failing command is not an error.
    pub fn exec(&self, args: &[&str]) -> Result<Output> {
        self.verb("exec").args(args).output()
    }

    /// `kill` by the signal's name or number.
    ///
    /// # Errors
    ///
    /// When the runtime refuses, with its words.
    pub fn kill(&self, signal: &str) -> Result<()> {
        self.verb("kill").arg(signal).output()?.success().map(|_| ())
    }

    /// `delete`.
    ///
    /// # Errors
    ///
    /// When the runtime refuses, with its words.
    pub fn delete(&self) -> Result<()> {
        self.verb("delete").output()?.success().map(|_| ())
    }

    /// What `state` prints.
    ///
    /// # Errors
    ///
    /// When the runtime refuses or prints no JSON.
    pub fn state(&self) -> Result<Value> {
        let output = self.verb("state").output()?.success()?;
        serde_json::from_str(&output.stdout).context("state is no JSON")
    }

    /// The status in `state`: created, running, stopped.
    ///
    /// # Errors
    ///
    /// When `state` has none.
    pub fn status(&self) -> Result<String> {
        let state = self.state()?;
        state["status"].as_str().map(str::to_owned).with_context(|| format!("no status: {state}"))
    }

    /// The host process that stands for the container.
    ///
    /// # Errors
    ///
    /// When `state` has none.
    pub fn pid(&self) -> Result<i32> {
        let state = self.state()?;
        let pid = state["pid"].as_i64().with_context(|| format!("no pid: {state}"))?;
        i32::try_from(pid).context("pid")
    }

    /// Every host process of the container: Sentry, Gofer, stubs.
    ///
    /// # Errors
    ///
    /// When the host cannot be looked at.
    pub fn processes(&self) -> Result<Vec<i32>> {
        leaks::pids_of(&self.id)
    }

    /// Waits until the container's process has ended.
    ///
    /// # Errors
    ///
    /// When it does not within `limit`.
    pub fn wait_stopped(&self, limit: Duration) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid()?) else {
            return Ok(()); // 0 says that there is no process any more
        };
        ensure!(wait_for_exit(pid, limit)?, "{} still runs after {limit:?}", self.id);
        Ok(())
    }

    /// What the container wrote to its standard output so far.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn stdout(&mut self) -> Result<String> {
        whole(&mut self.stdout)
    }

    /// What `create` and the container wrote to standard error so far.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn stderr(&mut self) -> Result<String> {
        whole(&mut self.stderr)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.runtime.delete_by_force(&self.id) {
            eprintln!("{}: {error:#}", self.id);
        }
    }
}
