//! `update`: new limits for a container.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::runtime::Runtime;

/// Arguments of `update`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// File with the limits, `-` for stdin
    #[arg(long, short)]
    resources: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    runtime.root()?.find(&args.id)?;
    bail!("update (resources: {:?}): not supported yet", args.resources)
}
