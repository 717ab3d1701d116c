//! The real kernel: a Sentry.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use control::{Process, ProcessEntry, Report, Target, WindowSize};
use sentry::{Config, LoadConfig, Mount, MountKind, Overlay, RootFs, Sentry, Stdio};

use super::BootConfig;
use super::kernel::Kernel;
use super::platform::Chosen;
use crate::sandbox::take;
use crate::spec::{self, FileSystem};

/// Makes the Sentry of `config`, with its first process not yet running.
pub(super) fn make(chosen: Chosen, config: BootConfig) -> Result<Sentry> {
    if let [state, pages] = *config.numbers.image {
        return load(chosen, &config, take(state)?, take(pages)?);
    }
    let Chosen { platform, memory, executors } = chosen;
    let mut sockets = config.numbers.files.iter().copied();
    let root = RootFs {
        socket: next(&mut sockets)?,
        readonly: config.root_readonly,
        overlay: if config.root_overlay { Overlay::Memory } else { Overlay::None },
    };
    let mount = |mount| self::mount(mount, &mut sockets);
    let config = Config {
        hostname: config.hostname,
        root,
        mounts: config.mounts.into_iter().map(mount).collect::<Result<_>>()?,
        masked_paths: config.masked_paths,
        readonly_paths: config.readonly_paths,
        stdio: stdio(config.numbers.terminal, &config.numbers.stdio)?,
        process: config.process,
        executors,
        memory_limit: config.memory_limit,
        strace: config.options.strace,
    };
    Ok(Sentry::new(&platform, memory, config)?)
}

/// Makes a Sentry that goes on where a saved one was. `config` says where files and streams come
/// from; all else is in the image.
fn load(chosen: Chosen, config: &BootConfig, state: OwnedFd, pages: OwnedFd) -> Result<Sentry> {
    let Chosen { platform, memory, executors } = chosen;
    let stdio = stdio(config.numbers.terminal, &config.numbers.stdio)?;
    let gofers = config.numbers.files.iter().map(|socket| take(*socket)).collect::<Result<_>>()?;
    let strace = config.options.strace;
    let config = LoadConfig { gofers, stdio, executors, strace, state, pages };
    Ok(Sentry::load(&platform, memory, config)?)
}

fn next(sockets: &mut impl Iterator<Item = RawFd>) -> Result<OwnedFd> {
    take(sockets.next().context("a mount has no socket to the Gofer")?)
}

fn mount(mount: spec::Mount, sockets: &mut impl Iterator<Item = RawFd>) -> Result<Mount> {
    let kind = match mount.file_system {
        FileSystem::Bind { .. } => MountKind::Gofer(next(sockets)?),
        FileSystem::Tmpfs => MountKind::Tmpfs,
        FileSystem::Proc => MountKind::Proc,
        FileSystem::Sysfs => MountKind::Sysfs,
        FileSystem::Dev => MountKind::Dev,
        FileSystem::Devpts => MountKind::Devpts,
        FileSystem::Mqueue => MountKind::Mqueue,
        FileSystem::Cgroup => MountKind::Cgroup,
    };
    let (readonly, options) = (mount.readonly, mount.options);
    Ok(Mount { destination: mount.destination, kind, readonly, options })
}

fn stdio(terminal: Option<RawFd>, three: &[RawFd]) -> Result<Stdio> {
    match (terminal, three) {
        (Some(slave), _) => Ok(Stdio::Terminal(take(slave)?)),
        (None, [input, output, error]) => {
            Ok(Stdio::Fds([take(*input)?, take(*output)?, take(*error)?]))
        }
        (None, _) => anyhow::bail!("neither stdio nor a terminal was handed over"),
    }
}

impl Kernel for Sentry {
    fn start(&self) -> Result<(), Report> {
        self.start();
        Ok(())
    }

    fn exec(&self, process: Process, stdio: Stdio) -> Result<i32, Report> {
        self.exec(process, stdio)
    }

    fn exit_status(&self, pid: Option<i32>) -> Option<i32> {
        self.exit_status(pid)
    }

    fn exits(&self) -> BorrowedFd<'_> {
        self.exits()
    }

    fn signal(&self, target: Target, signal: i32) -> Result<(), Report> {
        self.signal(target, signal)
    }

    fn processes(&self) -> Vec<ProcessEntry> {
        self.processes()
    }

    fn resize(&self, pid: Option<i32>, size: Option<WindowSize>) -> Result<(), Report> {
        self.resize(pid, size)
    }

    fn pause(&self) -> Result<(), Report> {
        self.pause()
    }

    fn resume(&self) -> Result<(), Report> {
        self.resume()
    }

    fn dump(&self) -> String {
        self.dump()
    }

    fn leaks(&self) -> Vec<(&'static str, u64)> {
        self.leaks()
    }

    fn save(&self, state: OwnedFd, pages: OwnedFd) -> Result<(), Report> {
        self.save(state, pages)
    }
}
