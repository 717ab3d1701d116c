//! `debug`: a look inside a living sandbox.

use anyhow::{Result, bail};
use control::{Command, Reply};

use crate::runtime::{Runtime, connect};

/// Arguments of `debug`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Describe all tasks (the only view, so far)
    #[arg(long)]
    stacks: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let folder = runtime.root()?.find(&args.id)?;
    let state = folder.state()?;
    match connect(&folder, &state)?.ask(Command::Dump, &[])? {
        Reply::Text(text) => print!("{text}"),
        reply => bail!("unexpected reply {reply:?}"),
    }
    Ok(())
}
