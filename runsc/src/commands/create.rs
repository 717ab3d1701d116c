//! `create`: everything up to the point where init could run.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use control::WindowSize;
use oci_spec::runtime::Spec;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::checkpoint::Image;
use crate::console::{Pty, for_engine};
use crate::container::{Folder, HostProcess, Lock, State, Status, hooks, now};
use crate::runtime::Runtime;
use crate::sandbox::cgroup::{self, Cgroups};
use crate::sandbox::{self, Order, Stdio};
use crate::spec::{self, Bundle};

/// How long the processes of a failed start may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name for the new container
    pub(crate) id: String,
    /// Folder with config.json
    #[arg(long, short, default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// File for the container's pid
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// Socket to send the container's terminal to
    #[arg(long)]
    pub(crate) console_socket: Option<PathBuf>,
    /// Accepted for engines: the container's root never is the host's
    #[arg(long, hide = true)]
    no_pivot: bool,
    /// Accepted for engines: keyrings of the host are never used
    #[arg(long, hide = true)]
    no_new_keyring: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let bundle = spec::load(&args.bundle)?;
    let pty = for_engine(terminal_size(&bundle.spec), args.console_socket.as_deref())?;
    let order =
        New { id: &args.id, bundle: &bundle, overlay: false, image: None, pty: pty.as_ref() };
    let made = make(runtime, &order, args.pid_file.as_deref())?;
    drop(made);
    Ok(())
}

/// The size for the process's terminal, if it asks for one.
pub(crate) fn terminal_size(spec: &Spec) -> Option<WindowSize> {
    spec.process().as_ref().and_then(|process| spec::convert(process).terminal)
}

/// A container to make.
#[derive(Debug)]
pub(crate) struct New<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// What it is.
    pub(crate) bundle: &'a Bundle,
    /// Keep changes to its root in memory.
    pub(crate) overlay: bool,
    /// What to go on from.
    pub(crate) image: Option<&'a Image>,
    /// Its terminal; stdio is handed on without one.
    pub(crate) pty: Option<&'a Pty>,
}

/// A created container, locked until somebody says otherwise.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its folder.
    pub(crate) folder: Folder,
    /// Its state.
    pub(crate) state: State,
    /// Pidfd of its sandbox.
    pub(crate) sandbox: OwnedFd,
    lock: Option<Lock>,
}

impl Made {
    /// Lets other commands work on it.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }
}

/// Makes a container; leaves nothing behind on failure.
pub(crate) fn make(runtime: &Runtime, new: &New<'_>, pid_file: Option<&Path>) -> Result<Made> {
    let root = runtime.root()?;
    // Asked before a user namespace makes it 0.
    let owner = rustix::process::getuid().as_raw();
    if !sandbox::is_privileged() {
        sandbox::enter_user_namespace().context("run as an ordinary user")?;
    }
    let folder = root.create(new.id)?;
    let mut state = first_state(new, owner)?;
    let made = Lock::take(&folder).and_then(|lock| {
        folder.write_state(&state)?;
        let sandbox = build(runtime, new, &folder, &mut state, pid_file)?;
        Ok((lock, sandbox))
    });
    match made {
        Ok((lock, sandbox)) => Ok(Made { folder, state, sandbox, lock: Some(lock) }),
        Err(error) => {
            let error = with_crash_report(error, &folder);
            if let Err(second) = destroy(runtime, &folder, Some(&state)) {
                tracing::warn!("clean up after a failed start: {second:#}");
            }
            Err(error)
        }
    }
}

fn with_crash_report(error: anyhow::Error, folder: &Folder) -> anyhow::Error {
    match folder.crash_report() {
        Some(report) => error.context(crate::boot::resolve(&report)),
        None => error,
    }
}

fn first_state(new: &New<'_>, owner: u32) -> Result<State> {
    let spec = &new.bundle.spec;
    let root = spec.root().as_ref().context("config.json: root: missing")?;
    let annotations = spec.annotations().iter().flatten();
    Ok(State {
        id: new.id.to_owned(),
        bundle: new.bundle.path.clone(),
        rootfs: fs::canonicalize(new.bundle.path.join(root.path()))?,
        created: now(),
        owner,
        status: Status::Creating,
        sandbox: None,
        gofer: None,
        creator: HostProcess::of(rustix::process::getpid().as_raw_pid()).ok(),
        cgroups: Vec::new(),
        annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        hooks: spec.hooks().clone(),
        process: spec.process().as_ref().map(spec::convert).unwrap_or_default(),
    })
}

/// Each step is recorded before the next one, so that a kill in between leaves something that can be removed.
fn build(
    runtime: &Runtime,
    new: &New<'_>,
    folder: &Folder,
    state: &mut State,
    pid_file: Option<&Path>,
) -> Result<OwnedFd> {
    let (spec, global) = (&new.bundle.spec, &runtime.global);
    let mut cgroups = Cgroups::plan(spec, global.systemd_cgroup)?;
    cgroups.new_folders().clone_into(&mut state.cgroups);
    folder.write_state(state)?;
    cgroups.make(spec, global.ignore_cgroups)?;
    let stdio = match new.pty {
        Some(pty) => Stdio::Terminal(pty.slave.as_fd()),
        None => Stdio::Inherited([
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ]),
    };
    let launched = sandbox::launch(&Order {
        folder,
        spec,
        rootfs: &state.rootfs,
        overlay: new.overlay,
        image: new.image.map(|image| [image.state.as_fd(), image.pages.as_fd()]),
        mounts: spec::plan(spec, &new.bundle.path)?,
        options: &global.options(),
        log: runtime.sandbox_log()?,
        stdio,
        cgroups: &cgroups,
    })?;
    let (gofer, sandbox) = launched.processes();
    (state.gofer, state.sandbox) = (Some(gofer), Some(sandbox));
    folder.write_state(state)?;
    let ready = launched.finish()?;
    for hook in state.hooks.iter().flat_map(hooks::before_creation) {
        hooks::run(hook, &super::state::show(state, Status::Creating).to_string())?;
    }
    if let Some(path) = pid_file {
        write_pid_file(path, sandbox.pid)?;
    }
    state.status = Status::Created;
    state.creator = None;
    folder.write_state(state)?;
    ready.adopt()
}

/// Writes a pid-file so that a reader sees no half of it.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let said = || format!("write the pid-file {}", path.display());
    let name = path.file_name().with_context(said)?;
    let new = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    fs::write(&new, pid.to_string()).with_context(said)?;
    fs::rename(&new, path).with_context(said)
}

/// Takes note of the end of a child of this very command; others have parents of their own.
fn reap(process: HostProcess) {
    if let Some(pid) = Pid::from_raw(process.pid) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Removes all that there is of a container.
pub(crate) fn destroy(runtime: &Runtime, folder: &Folder, state: Option<&State>) -> Result<()> {
    if let Some(state) = state {
        end(state)?;
    }
    runtime.root()?.remove(folder)?;
    let hooks = state.and_then(|state| Some((state, state.hooks.as_ref()?.poststop().as_ref()?)));
    if let Some((state, hooks)) = hooks {
        let shown = super::state::show(state, Status::Stopped).to_string();
        hooks::run_after(Some(hooks), &shown);
    }
    Ok(())
}

/// Ends the processes of a container and removes its cgroups.
fn end(state: &State) -> Result<()> {
    for process in [state.sandbox, state.gofer].into_iter().flatten() {
        process.kill(PATIENCE)?;
        reap(process);
    }
    cgroup::remove(&state.cgroups)
}
