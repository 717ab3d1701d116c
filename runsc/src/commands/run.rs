//! `run`: create, start, wait for and delete a container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::checkpoint::Image;
use super::create::{Made, New, destroy, make, terminal_size};
use super::start::start;
use crate::attach::{Attachment, Signals};
use crate::channel;
use crate::console::{self, Pty};
use crate::container::{Lock, wait_for_end};
use crate::runtime::Runtime;
use crate::spec::{self, Bundle};

/// How long a sandbox whose init has ended may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name for the container
    id: String,
    /// Folder with config.json
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// File for the container's pid
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Socket to send the container's terminal to
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(long, short)]
    detach: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<i32> {
    let bundle = spec::load(&args.bundle)?;
    let run = Run {
        id: &args.id,
        bundle: &bundle,
        overlay: false,
        image: None,
        pid_file: args.pid_file.as_deref(),
    };
    if args.detach {
        return detached(runtime, &run, args.console_socket.as_deref());
    }
    attached(runtime, &run)
}

/// Creates and starts a container, and leaves it alone.
pub(super) fn detached(runtime: &Runtime, run: &Run<'_>, console: Option<&Path>) -> Result<i32> {
    let pty = console::for_engine(terminal_size(&run.bundle.spec), console)?;
    let mut made = make(runtime, &run.create(pty.as_ref()), run.pid_file)?;
    start(&made.folder, &mut made.state)?;
    Ok(0)
}

/// A container to create and start at once.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// What it is.
    pub(crate) bundle: &'a Bundle,
    /// Keep changes to its root in memory.
    pub(crate) overlay: bool,
    /// What to go on from.
    pub(crate) image: Option<&'a Image>,
    /// File for its pid.
    pub(crate) pid_file: Option<&'a Path>,
}

impl Run<'_> {
    fn create<'a>(&'a self, pty: Option<&'a Pty>) -> New<'a> {
        let Self { id, bundle, overlay, image, .. } = *self;
        New { id, bundle, overlay, image, pty }
    }
}

/// Runs a container to its end; returns its exit status.
pub(crate) fn attached(runtime: &Runtime, run: &Run<'_>) -> Result<i32> {
    let signals = Signals::block()?;
    let pty = terminal_size(&run.bundle.spec).map(|size| {
        let own = console::size_of(rustix::stdio::stdin());
        Pty::open(if size.rows == 0 { own } else { size })
    });
    let pty = pty.transpose()?;
    let mut made = make(runtime, &run.create(pty.as_ref()), run.pid_file)?;
    // Our copy of the slave would keep the master from seeing the end.
    let master = pty.map(|pty| pty.master);
    let status = supervise(&mut made, signals, master);
    let crash = made.folder.crash_report();
    let deleted = delete(runtime, &mut made);
    if let Some(report) = crash {
        anyhow::bail!("the sandbox has failed: {}", crate::boot::resolve(&report));
    }
    let status = status?;
    deleted?;
    Ok(status)
}

/// Removes the container, unless somebody else has.
fn delete(runtime: &Runtime, made: &mut Made) -> Result<()> {
    // It may still be locked, if it was never started.
    made.unlock();
    match Lock::take(&made.folder) {
        Ok(_lock) => destroy(runtime, &made.folder, Some(&made.state)),
        Err(_) if made.folder.is_removed() => Ok(()),
        Err(error) => Err(error),
    }
}

fn supervise(
    made: &mut Made,
    signals: Signals,
    master: Option<std::os::fd::OwnedFd>,
) -> Result<i32> {
    let channel = channel::open(&made.folder)?;
    let mut attachment = Attachment::new(channel, None, signals);
    if let Some(master) = master {
        attachment = attachment.with_terminal(master)?;
    }
    start(&made.folder, &mut made.state)?;
    made.unlock();
    let told = attachment.wait();
    if told.is_ok() {
        wait_for_end(&made.sandbox, PATIENCE)?;
    }
    // Its own exit status counts: a sandbox that was killed could not tell.
    match (own_status(made)?, told) {
        (Some(status), _) => Ok(status),
        (None, told) => told,
    }
}

/// How the sandbox, our child, has ended.
fn own_status(made: &Made) -> Result<Option<i32>> {
    if !wait_for_end(&made.sandbox, PATIENCE)? {
        return Ok(None);
    }
    let pid = made.state.sandbox.and_then(|sandbox| Pid::from_raw(sandbox.pid));
    let ended = waitpid(pid, WaitOptions::NOHANG).context("wait for the sandbox")?;
    let Some((_, status)) = ended else { return Ok(None) };
    if status.terminating_signal() == Some(libc::SIGSYS) {
        anyhow::bail!("the sandbox made a host call that its filter forbids");
    }
    Ok(status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)))
}
