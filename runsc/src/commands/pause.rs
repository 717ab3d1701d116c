//! `pause` and `resume`: hold all processes of a container, let them go on.

use anyhow::Result;
use control::Command;

use super::state::current;
use crate::container::{Status, Verb};
use crate::runtime::{Runtime, connect};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
}

/// Runs `pause`.
pub(crate) fn pause(runtime: &Runtime, args: &Args) -> Result<()> {
    change(runtime, args, Verb::Pause, Command::Pause, Status::Paused)
}

/// Runs `resume`.
pub(crate) fn resume(runtime: &Runtime, args: &Args) -> Result<()> {
    change(runtime, args, Verb::Resume, Command::Resume, Status::Running)
}

fn change(
    runtime: &Runtime,
    args: &Args,
    verb: Verb,
    command: Command,
    after: Status,
) -> Result<()> {
    let (folder, _lock) = runtime.lock(&args.id)?;
    let mut state = folder.state()?;
    current(&folder, &state).allow(verb, &args.id)?;
    connect(&folder, &state)?.ask(command, &[])?;
    state.status = after;
    folder.write_state(&state)
}
