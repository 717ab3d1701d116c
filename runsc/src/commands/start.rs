//! `start`: lets init run.

use anyhow::Result;
use control::Command;

use crate::container::{Folder, State, Status, Verb, hooks};
use crate::runtime::{Runtime, connect};

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let (folder, _lock) = runtime.lock(&args.id)?;
    let mut state = folder.state()?;
    start(&folder, &mut state)
}

/// Lets init of a locked container run.
pub(crate) fn start(folder: &Folder, state: &mut State) -> Result<()> {
    super::state::current(folder, state).allow(Verb::Start, &state.id)?;
    connect(folder, state)?.ask(Command::Start, &[])?;
    state.status = Status::Running;
    folder.write_state(state)?;
    let after = state.hooks.as_ref().and_then(|hooks| hooks.poststart().as_ref());
    hooks::run_after(after, &super::state::show(state, Status::Running).to_string());
    Ok(())
}
