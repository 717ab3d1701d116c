//! The host process that stands for a detached `exec`: engines wait for it, signal it and look at its network
//! namespace, as if it were the process inside.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use anyhow::{Context, Result, bail};
use control::{Command, Process, Reply};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::attach::{Attachment, Signals};
use crate::channel::Channel;
use crate::sandbox::spawn::{Launch, Namespaces, spawn};
use crate::sandbox::{
    Descriptors, drop_capabilities, enter_network_of, read_configuration, report, take,
    wait_until_ready, write_configuration,
};

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    process: Process,
    /// The connection to the sandbox.
    channel: RawFd,
    /// As for `Command::Exec`.
    stdio: Vec<RawFd>,
    /// Whose network namespace to be in.
    sandbox: Option<i32>,
}

/// A shadow whose process runs.
#[derive(Debug)]
pub(super) struct Shadow {
    pid: i32,
    startup: Channel,
}

impl Shadow {
    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it outlive this command.
    pub(super) fn adopt(&self) -> Result<()> {
        self.startup.send(&control::Startup::Adopt, &[])
    }
}

/// Starts a shadow; returns when its process runs.
pub(super) fn start(
    id: &str,
    process: Process,
    channel: &Channel,
    stdio: &[BorrowedFd<'_>],
    terminal: Option<BorrowedFd<'_>>,
    sandbox: Option<i32>,
) -> Result<Shadow> {
    let mut descriptors = Descriptors::default();
    let channel = descriptors.add(channel.as_fd())?;
    let stdio = stdio.iter().map(|fd| descriptors.add(*fd)).collect::<Result<_>>()?;
    let config = write_configuration(&Config { process, channel, stdio, sandbox })?;
    let (startup, child_startup) = Channel::pair()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let waiting = spawn(&Launch {
        args: &["runsc", "exec-shadow", id],
        stdio: [null.as_fd(); 3],
        fds: &descriptors.all(&child_startup, &config),
        namespaces: Namespaces::NONE,
        terminal,
    })?;
    drop(child_startup);
    let (pid, _) = waiting.open_gate().context("start the host process of an exec")?;
    wait_until_ready(&startup, "host process of the exec")?;
    Ok(Shadow { pid, startup })
}

/// In the new process: runs the process inside, ends with its status.
pub(crate) fn run() -> Result<i32> {
    let (starter, config) = read_configuration::<Config>()?;
    match begin(config) {
        Ok(attachment) => {
            starter.tell(Ok(()))?;
            starter.wait_for_adoption()?;
            attachment.wait()
        }
        Err(error) => {
            starter.tell(Err(report("exec", &error)))?;
            Err(error)
        }
    }
}

fn begin(config: Config) -> Result<Attachment> {
    rustix::thread::set_name(c"runsc-exec")?;
    let signals = Signals::block()?;
    if let Some(sandbox) = config.sandbox
        && let Err(error) = enter_network_of(sandbox)
    {
        // An ordinary user can't, and has no engine that looks.
        tracing::info!("{error:#}");
    }
    drop_capabilities(CapabilitySet::empty())?;
    let channel = Channel::from(take(config.channel)?);
    let stdio = config.stdio.into_iter().map(take).collect::<Result<Vec<_>>>()?;
    let host_pid = Some(rustix::process::getpid().as_raw_pid());
    let command = Command::Exec { process: config.process, host_pid, owned: true };
    let borrowed: Vec<_> = stdio.iter().map(AsFd::as_fd).collect();
    let reply = channel.ask(command, &borrowed)?;
    let Reply::Started { pid } = reply else { bail!("unexpected reply {reply:?}") };
    Ok(Attachment::new(channel, Some(pid), signals).with_size_of(stdio.into_iter().next()))
}
