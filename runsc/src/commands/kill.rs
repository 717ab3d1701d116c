//! `kill`: sends a signal into a container.

use std::time::Duration;

use anyhow::Result;
use control::{Command, Target};

use super::state::current;
use crate::container::{State, Verb};
use crate::runtime::{Runtime, connect};
use crate::signal;

/// How long a killed sandbox may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Name or number of the signal
    #[arg(default_value = "TERM")]
    signal: String,
    /// To all processes
    #[arg(long, short)]
    all: bool,
    /// To this process, by its pid inside
    #[arg(long, short, conflicts_with = "all")]
    pid: Option<i32>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let signal = signal::parse(&args.signal)?;
    let (folder, _lock) = runtime.lock(&args.id)?;
    let state = folder.state()?;
    current(&folder, &state).allow(Verb::Kill, &args.id)?;
    let target = match (args.all, args.pid) {
        (true, _) => Target::All,
        (false, Some(pid)) => Target::Pid(pid),
        (false, None) => Target::Init,
    };
    let sent = connect(&folder, &state)
        .and_then(|channel| channel.ask(Command::Signal { target, signal }, &[]));
    match sent {
        // A sandbox that does not listen any more must be killable all the same.
        Err(error) if signal == libc::SIGKILL && !matches!(target, Target::Pid(_)) => {
            tracing::warn!("kill the sandbox itself: {error:#}");
            kill_sandbox(&state)
        }
        sent => sent.map(drop),
    }
}

fn kill_sandbox(state: &State) -> Result<()> {
    state.sandbox.map_or(Ok(()), |sandbox| sandbox.kill(PATIENCE))
}
