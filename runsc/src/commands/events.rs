//! `events`: figures of a container.

use anyhow::{Result, bail};

use crate::runtime::Runtime;

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Only once
    #[arg(long)]
    stats: bool,
    /// Time between two, in Go's notation
    #[arg(long, default_value = "5s")]
    interval: String,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    runtime.root()?.find(&args.id)?;
    bail!("events (stats: {}, interval: {}): not supported yet", args.stats, args.interval)
}
