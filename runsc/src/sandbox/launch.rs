//! Starting the Gofer and the Sentry of one container.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use control::{Report, Startup};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::cgroup::Cgroups;
use super::descriptors::{Descriptors, write_configuration};
use super::mountpoints::make_missing;
use super::namespaces::{in_network, map_to_self};
use super::spawn::{Launch, Namespaces, Waiting, spawn};
use super::startup::wait_until_ready;
use super::{GoferConfig, GoferMount};
use crate::boot::{BootConfig, Numbers};
use crate::channel::{self, Channel};
use crate::container::{Folder, HostProcess, wait_for_end};
use crate::options::Options;
use crate::spec::{FileSystem, Mount};

/// Where the container's first process reads and writes.
#[derive(Debug)]
pub(crate) enum Stdio<'a> {
    /// Three descriptors of the host.
    Inherited([BorrowedFd<'a>; 3]),
    /// The slave of a host pty.
    Terminal(BorrowedFd<'a>),
}

/// Everything that a start needs.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// The container's folder.
    pub(crate) folder: &'a Folder,
    /// Its configuration.
    pub(crate) spec: &'a Spec,
    /// The root of its files, absolute.
    pub(crate) rootfs: &'a Path,
    /// Keep changes to the root in memory.
    pub(crate) overlay: bool,
    /// State and pages of a saved sandbox to go on from.
    pub(crate) image: Option<[BorrowedFd<'a>; 2]>,
    /// Its mounts.
    pub(crate) mounts: Vec<Mount>,
    /// The flags.
    pub(crate) options: &'a Options,
    /// A file for log lines.
    pub(crate) log: Option<OwnedFd>,
    /// The first process's input and output.
    pub(crate) stdio: Stdio<'a>,
    /// Its cgroups.
    pub(crate) cgroups: &'a Cgroups,
}

/// Two processes that wait at their gates, recorded by nobody yet.
#[derive(Debug)]
pub(crate) struct Launched {
    gofer: Member,
    sandbox: Member,
}

#[derive(Debug)]
struct Member {
    process: HostProcess,
    waiting: Waiting,
    startup: Channel,
}

impl Launched {
    /// The Gofer and the Sentry.
    pub(crate) fn processes(&self) -> (HostProcess, HostProcess) {
        (self.gofer.process, self.sandbox.process)
    }

    /// Lets both go on until they are confined and ready; returns the sandbox, which still ends when this
    /// process dies.
    pub(crate) fn finish(self) -> Result<Ready> {
        self.gofer.waiting.open_gate().context("start the Gofer")?;
        let (_, pidfd) = self.sandbox.waiting.open_gate().context("start the Sentry")?;
        hear(&self.gofer.startup, "Gofer", self.gofer.process)?;
        hear(&self.sandbox.startup, "Sentry", self.sandbox.process)?;
        Ok(Ready { startup: self.sandbox.startup, pidfd })
    }
}

/// Waits until a process is ready; if it has died silently, adds how.
fn hear(startup: &Channel, who: &str, process: HostProcess) -> Result<()> {
    wait_until_ready(startup, who).map_err(|error| match signal_of(process) {
        Some(signal) if error.downcast_ref::<Report>().is_none() => {
            let forbidden = "a host call that its filter forbids";
            let why = if signal == libc::SIGSYS { forbidden } else { "killed" };
            error.context(format!("signal {signal} ({why})"))
        }
        _ => error,
    })
}

/// The signal that ended a child.
fn signal_of(process: HostProcess) -> Option<i32> {
    // Its channel closes a moment before it can be waited for.
    let pidfd = process.open();
    if let Some(pidfd) = pidfd {
        wait_for_end(&pidfd, std::time::Duration::from_secs(1)).ok()?;
    }
    let (_, status) = waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG).ok()??;
    status.terminating_signal()
}

/// A sandbox whose container can be started.
#[derive(Debug)]
pub(crate) struct Ready {
    startup: Channel,
    /// Of the sandbox.
    pub(crate) pidfd: OwnedFd,
}

impl Ready {
    /// Lets the sandbox outlive this process. Its container must be recorded by now.
    pub(crate) fn adopt(self) -> Result<OwnedFd> {
        self.startup.send(&Startup::Adopt, &[]).context("the Sentry has just died")?;
        Ok(self.pidfd)
    }
}

/// One end of each mount's socket.
struct MountSockets {
    gofer: Vec<OwnedFd>,
    sentry: Vec<OwnedFd>,
}

/// Starts both processes up to their gates.
pub(crate) fn launch(order: &Order<'_>) -> Result<Launched> {
    if !order.overlay {
        make_missing(order.rootfs, &order.mounts)?;
    }
    let trees = trees(order);
    let sockets = connect(trees.len())?;
    let (lifeline, holder) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let gofer = start_gofer(order, &trees, &sockets.gofer, lifeline.as_fd())?;
    let sandbox = start_sandbox(order, &sockets.sentry, &gofer.waiting.pidfd, holder.as_fd())?;
    Ok(Launched { gofer, sandbox })
}

/// The host's trees: the root, then the bind mounts in their order.
fn trees(order: &Order<'_>) -> Vec<(PathBuf, bool)> {
    let readonly = order.overlay || root_readonly(order.spec);
    let binds = order.mounts.iter().filter_map(|mount| match &mount.file_system {
        FileSystem::Bind { source } => Some((source.clone(), mount.readonly)),
        _ => None,
    });
    [(order.rootfs.to_owned(), readonly)].into_iter().chain(binds).collect()
}

fn root_readonly(spec: &Spec) -> bool {
    spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false)
}

fn connect(count: usize) -> Result<MountSockets> {
    let mut sockets = MountSockets { gofer: Vec::new(), sentry: Vec::new() };
    for _ in 0..count {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockets.gofer.push(one);
        sockets.sentry.push(other);
    }
    Ok(sockets)
}

fn start_gofer(
    order: &Order<'_>,
    trees: &[(PathBuf, bool)],
    sockets: &[OwnedFd],
    lifeline: BorrowedFd<'_>,
) -> Result<Member> {
    let mut descriptors = Descriptors::default();
    let lifeline = descriptors.add(lifeline)?;
    let mut mounts = Vec::new();
    for ((source, readonly), socket) in trees.iter().zip(sockets) {
        let socket = descriptors.add(socket.as_fd())?;
        mounts.push(GoferMount { source: source.clone(), readonly: *readonly, socket });
    }
    let config = GoferConfig {
        base: order.folder.path().to_owned(),
        mounts,
        log: order.log.as_ref().map(|log| descriptors.add(log.as_fd())).transpose()?,
        debug: order.options.debug,
        lifeline,
    };
    let namespaces = Namespaces::PRIVATE.and(Namespaces::NETWORK);
    start("gofer", &config, &descriptors, order, namespaces, None).context("start the Gofer")
}

fn start_sandbox(
    order: &Order<'_>,
    sockets: &[OwnedFd],
    gofer: &OwnedFd,
    lifeline: BorrowedFd<'_>,
) -> Result<Member> {
    let listener = channel::listener(order.folder)?;
    let crash = order.folder.crash_file()?;
    let mut descriptors = Descriptors::default();
    let mut files = Vec::new();
    for socket in sockets {
        files.push(descriptors.add(socket.as_fd())?);
    }
    let (stdio, terminal): (&[_], _) = match &order.stdio {
        Stdio::Inherited(three) => (three, None),
        Stdio::Terminal(slave) => (&[], Some(*slave)),
    };
    let numbers = Numbers {
        listener: descriptors.add(listener.as_fd())?,
        gofer: descriptors.add(gofer.as_fd())?,
        lifeline: descriptors.add(lifeline)?,
        crash: descriptors.add(crash.as_fd())?,
        log: order.log.as_ref().map(|log| descriptors.add(log.as_fd())).transpose()?,
        stdio: stdio.iter().map(|fd| descriptors.add(*fd)).collect::<Result<_>>()?,
        terminal: terminal.map(|slave| descriptors.add(slave)).transpose()?,
        image: order
            .image
            .iter()
            .flatten()
            .map(|fd| descriptors.add(*fd))
            .collect::<Result<_>>()?,
        files,
    };
    let config = boot_config(order, numbers);
    let (network, new_network) = network(order.spec);
    let namespaces = Namespaces::PRIVATE.and(new_network);
    let member = in_network(network, || {
        // A host may forbid user namespaces; the other walls stand without.
        let with_user = namespaces.and(Namespaces::USER);
        start("boot", &config, &descriptors, order, with_user, terminal).or_else(|error| {
            tracing::info!("no user namespace for the Sentry: {error:#}");
            start("boot", &config, &descriptors, order, namespaces, terminal)
        })
    })
    .context("start the Sentry")?;
    let score = order.spec.process().as_ref().and_then(oci_spec::runtime::Process::oom_score_adj);
    if let Some(score) = score {
        set_oom_score(member.process.pid, score);
    }
    Ok(member)
}

/// How willingly the host ends the whole sandbox when it lacks memory (`proc_pid_oom_score_adj(5)`). Less
/// than the caller's own takes a privilege that not every host gives.
fn set_oom_score(pid: i32, score: i32) {
    let file = format!("/proc/{pid}/oom_score_adj");
    if let Err(error) = std::fs::write(&file, score.to_string()) {
        tracing::warn!("process.oomScoreAdj: write {score} to {file}: {error}");
    }
}

fn boot_config(order: &Order<'_>, numbers: Numbers) -> BootConfig {
    let linux = order.spec.linux().as_ref();
    let memory = linux
        .and_then(|linux| linux.resources().as_ref())
        .and_then(|resources| resources.memory().as_ref()?.limit());
    BootConfig {
        id: order.folder.id().to_owned(),
        base: order.folder.path().to_owned(),
        hostname: order.spec.hostname().clone().unwrap_or_default(),
        root_readonly: root_readonly(order.spec),
        root_overlay: order.overlay,
        mounts: order.mounts.clone(),
        process: order.spec.process().as_ref().map(crate::spec::convert).unwrap_or_default(),
        masked_paths: linux.and_then(|linux| linux.masked_paths().clone()).unwrap_or_default(),
        readonly_paths: linux.and_then(|linux| linux.readonly_paths().clone()).unwrap_or_default(),
        memory_limit: memory.and_then(|limit| u64::try_from(limit).ok()),
        options: order.options.clone(),
        numbers,
    }
}

/// The network namespace to go into, or to make (OCI runtime specification, "Namespaces").
fn network(spec: &Spec) -> (Option<&Path>, Namespaces) {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let network = namespaces
        .into_iter()
        .flatten()
        .find(|namespace| namespace.typ() == LinuxNamespaceType::Network);
    match network.map(|network| network.path().as_deref()) {
        None => (None, Namespaces::NONE),
        Some(Some(path)) if !path.as_os_str().is_empty() => (Some(path), Namespaces::NONE),
        Some(_) => (None, Namespaces::NETWORK),
    }
}

fn start(
    verb: &str,
    config: &impl serde::Serialize,
    descriptors: &Descriptors<'_>,
    order: &Order<'_>,
    namespaces: Namespaces,
    terminal: Option<BorrowedFd<'_>>,
) -> Result<Member> {
    let (startup, child_startup) = Channel::pair()?;
    let config = write_configuration(config)?;
    let null = null()?;
    // Their stderr would be the caller's pipe, which must end when the container does.
    let launch = Launch {
        args: &["runsc", verb, order.folder.id()],
        stdio: [null.as_fd(); 3],
        fds: &descriptors.all(&child_startup, &config),
        namespaces,
        terminal,
    };
    let waiting = spawn(&launch)?;
    if namespaces.contains(Namespaces::USER) {
        map_to_self(waiting.pid)?;
    }
    order.cgroups.join(waiting.pid)?;
    Ok(Member { process: HostProcess::of(waiting.pid)?, waiting, startup })
}

fn null() -> Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null").context("open /dev/null")
}
