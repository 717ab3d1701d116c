//! The Gofer process, from its start to the point where it serves.

use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use anyhow::{Context, Result};
use gofer::{Attach, Config, Limits};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::spawn::exit_now;
use super::{drop_capabilities, read_configuration, report, root, take};

/// What a Gofer process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GoferConfig {
    /// Any folder of the host; the new root is stacked on it.
    pub(crate) base: PathBuf,
    /// What to serve.
    pub(crate) mounts: Vec<GoferMount>,
    /// Where log lines go.
    pub(crate) log: Option<RawFd>,
    /// In detail.
    pub(crate) debug: bool,
    /// A pipe that the sandbox holds open while it lives.
    pub(crate) lifeline: RawFd,
}

/// One tree of files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GoferMount {
    /// The host's path.
    pub(crate) source: PathBuf,
    /// No writing.
    pub(crate) readonly: bool,
    /// The socket to the Sentry.
    pub(crate) socket: RawFd,
}

/// What a file server does to files of other users. It gives up what it does not need of them itself; this is
/// for the thread that is started before.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Runs the Gofer until its sandbox is gone.
pub(crate) fn serve() -> Result<()> {
    let (starter, config) = read_configuration()?;
    let prepared = prepare(&config);
    match prepared {
        Ok((files, lifeline)) => {
            starter.tell(Ok(()))?;
            drop(starter);
            follow(lifeline)?;
            Ok(gofer::serve(files)?)
        }
        Err(error) => starter.tell(Err(report("start the Gofer", &error))),
    }
}

fn prepare(config: &GoferConfig) -> Result<(Config, OwnedFd)> {
    rustix::thread::set_name(c"runsc-gofer")?;
    if let Some(log) = config.log {
        crate::log::start_in_sandbox(take(log)?, config.debug);
    }
    // A file's mode is what the Sentry asks for.
    rustix::process::umask(Mode::empty());
    let proc_fd = open_path(Path::new("/proc/self/fd"))?;
    let sources: Vec<&Path> = config.mounts.iter().map(|mount| mount.source.as_path()).collect();
    root::root_with(&config.base, &sources)?;
    let attaches = config.mounts.iter().enumerate().map(attach).collect::<Result<_>>()?;
    drop_capabilities(CAPABILITIES)?;
    let lifeline = take(config.lifeline)?;
    Ok((Config { attaches, proc_fd, limits: Limits::default(), confine: true }, lifeline))
}

fn attach((index, mount): (usize, &GoferMount)) -> Result<Attach> {
    Ok(Attach {
        name: format!("/{index}"),
        root: open_path(Path::new(&format!("/{index}")))?,
        readonly: mount.readonly,
        socket: take(mount.socket)?,
    })
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("open {}", path.display()))
}

/// Ends this process when the sandbox, which holds the other end, has ended.
fn follow(lifeline: OwnedFd) -> Result<()> {
    // A thread that still starts makes calls that the Gofer's filter forbids.
    let started = Arc::new(Barrier::new(2));
    let running = Arc::clone(&started);
    // Nobody ever writes; read(2) is a call that the filter allows.
    let wait = move || {
        running.wait();
        while rustix::io::read(&lifeline, &mut [0]) == Err(rustix::io::Errno::INTR) {}
        exit_now(0);
    };
    std::thread::Builder::new().name("lifeline".into()).spawn(wait)?;
    started.wait();
    Ok(())
}
