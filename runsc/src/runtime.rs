//! What every command works with: the flags, the folder of all containers, the log.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::channel::{self, Channel};
use crate::cli::Global;
use crate::container::{Folder, Lock, Root, State};
use crate::log::{self, Destinations};

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// The global flags.
    pub(crate) global: Global,
    root: OnceLock<Root>,
    log: Option<File>,
    debug_log: Option<File>,
}

impl Runtime {
    /// Opens the logs that the flags name.
    pub(crate) fn new(global: Global) -> Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(log::open).transpose();
        let (log, debug_log) = (open(&global.log)?, open(&global.debug_log)?);
        Ok(Self { global, root: OnceLock::new(), log, debug_log })
    }

    /// From now on log lines go there.
    pub(crate) fn start_log(&self) -> Result<()> {
        log::start(Destinations {
            log: self.log.as_ref().map(File::try_clone).transpose()?,
            format: self.global.log_format,
            debug_log: self.debug_log.as_ref().map(File::try_clone).transpose()?,
            debug: self.global.debug,
        });
        Ok(())
    }

    /// The folder of all containers.
    pub(crate) fn root(&self) -> Result<&Root> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let path = self.global.root.clone().unwrap_or_else(default_root);
        let root = Root::open(&path)?;
        Ok(self.root.get_or_init(|| root))
    }

    /// A file for the log lines of a sandbox, when somebody asked for them.
    pub(crate) fn sandbox_log(&self) -> Result<Option<OwnedFd>> {
        if let Some(file) = &self.debug_log {
            return Ok(Some(file.try_clone()?.into()));
        }
        let asked = self.global.debug || self.global.strace;
        asked.then(|| rustix::io::dup(rustix::stdio::stderr())).transpose().context("dup stderr")
    }

    /// Says to the user and to the engine why a command failed.
    pub(crate) fn report(&self, error: &anyhow::Error) {
        let message = format!("{error:#}");
        let mut log = self.log.as_ref().and_then(|file| file.try_clone().ok());
        log::write_error(log.as_mut(), self.global.log_format, &message);
        eprintln!("runsc: {message}");
    }

    /// A container and its lock; no other command works on it meanwhile.
    pub(crate) fn lock(&self, id: &str) -> Result<(Folder, Lock)> {
        let folder = self.root()?.find(id)?;
        let lock = Lock::take(&folder)?;
        Ok((folder, lock))
    }
}

/// Where the state is kept when nobody says: gone after a reboot, and the user's own.
fn default_root() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/runsc");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) => PathBuf::from(folder).join("runsc"),
        None => std::env::temp_dir().join(format!("runsc-{}", rustix::process::geteuid().as_raw())),
    }
}

/// Connects to a living sandbox; the error says what engines look for when it is gone meanwhile.
pub(crate) fn connect(folder: &Folder, state: &State) -> Result<Channel> {
    channel::open(folder).map_err(|error| match state.current() {
        crate::container::Status::Stopped => anyhow::anyhow!("container not running"),
        _ => error,
    })
}
