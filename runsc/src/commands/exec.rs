//! `exec`: one more process in a running container.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use control::{Command, Process, Reply};

use super::shadow;
use super::state::current;
use crate::attach::{Attachment, Signals};
use crate::channel::Channel;
use crate::console::{self, Pty};
use crate::container::{State, Verb};
use crate::runtime::{Runtime, connect};
use crate::spec;

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// File that describes the process, as in config.json
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(long, short)]
    detach: bool,
    /// File for the pid of the host process that stands for it
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Socket to send its terminal to
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Run it on a terminal
    #[arg(long, short)]
    tty: bool,
    /// Working directory inside
    #[arg(long)]
    cwd: Option<String>,
    /// More of its environment, NAME=value
    #[arg(long, short)]
    env: Vec<String>,
    /// Its user: UID or UID:GID
    #[arg(long, short)]
    user: Option<String>,
    /// Supplementary groups
    #[arg(long, short = 'g')]
    additional_gids: Vec<u32>,
    /// No new privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<i32> {
    let folder = runtime.root()?.find(&args.id)?;
    let state = folder.state()?;
    current(&folder, &state).allow(Verb::Exec, &args.id)?;
    let process = process(args, &state)?;
    let channel = connect(&folder, &state)?;
    if args.detach {
        return detached(args, &state, process, &channel).map(|()| 0);
    }
    attached(args, process, channel)
}

fn process(args: &Args, state: &State) -> Result<Process> {
    let Some(path) = &args.process else { return from_flags(args, &state.process) };
    let parsed = spec::parse_process(path)?;
    ensure!(args.command.is_empty(), "exec: --process and a command exclude each other");
    let mut process = spec::convert(&parsed);
    if args.tty {
        process.terminal.get_or_insert_default();
    }
    Ok(process)
}

/// The container's own process with other arguments.
fn from_flags(args: &Args, first: &Process) -> Result<Process> {
    ensure!(!args.command.is_empty(), "exec: expected a command or --process");
    let mut process = Process {
        args: args.command.clone(),
        terminal: args.tty.then(Default::default),
        no_new_privileges: args.no_new_privs || first.no_new_privileges,
        ..first.clone()
    };
    for entry in &args.env {
        ensure!(entry.contains('='), "--env {entry:?}: expected NAME=value");
        process.env.push(entry.clone());
    }
    if let Some(cwd) = &args.cwd {
        ensure!(cwd.starts_with('/'), "--cwd {cwd:?}: expected an absolute path");
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &args.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let number = |text: &str| {
            text.parse().with_context(|| format!("--user {user:?}: expected UID or UID:GID"))
        };
        (process.uid, process.gid) = (number(uid)?, number(gid)?);
    }
    process.additional_gids.extend(&args.additional_gids);
    Ok(process)
}

fn attached(args: &Args, mut process: Process, channel: Channel) -> Result<i32> {
    let signals = Signals::block()?;
    let pty = process.terminal.as_mut().map(|size| {
        if size.rows == 0 {
            *size = console::size_of(rustix::stdio::stdin());
        }
        Pty::open(*size)
    });
    let pty = pty.transpose()?;
    if let (Some(pty), Some(socket)) = (&pty, &args.console_socket) {
        pty.send_master(socket)?;
    }
    let command = Command::Exec { process, host_pid: None, owned: true };
    let reply = channel.ask(command, &stdio(pty.as_ref()))?;
    let Reply::Started { pid } = reply else { bail!("unexpected reply {reply:?}") };
    let mut attachment = Attachment::new(channel, Some(pid), signals);
    if let Some(path) = &args.pid_file {
        super::create::write_pid_file(path, rustix::process::getpid().as_raw_pid())?;
    }
    if let Some(pty) = pty
        && args.console_socket.is_none()
    {
        attachment = attachment.with_terminal(pty.master)?;
    }
    attachment.wait()
}

fn detached(args: &Args, state: &State, process: Process, channel: &Channel) -> Result<()> {
    let pty = console::for_engine(process.terminal, args.console_socket.as_deref())?;
    let terminal = pty.as_ref().map(|pty| pty.slave.as_fd());
    let sandbox = state.sandbox.map(|sandbox| sandbox.pid);
    let shadow =
        shadow::start(&args.id, process, channel, &stdio(pty.as_ref()), terminal, sandbox)?;
    if let Some(path) = &args.pid_file {
        super::create::write_pid_file(path, shadow.pid())?;
    }
    shadow.adopt()
}

/// What the process reads and writes: its terminal, or what this command has.
fn stdio(pty: Option<&Pty>) -> Vec<BorrowedFd<'_>> {
    match pty {
        Some(pty) => vec![pty.slave.as_fd()],
        None => vec![rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()],
    }
}
