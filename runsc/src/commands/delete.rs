//! `delete`: removes a container and everything of it.

use anyhow::Result;

use super::create::destroy;
use super::state::current;
use crate::container::{Lock, Status, Verb};
use crate::runtime::Runtime;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Kill it first if it runs; no error if there is none
    #[arg(long, short)]
    force: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let Some(folder) = runtime.root()?.open_folder(&args.id)? else {
        return missing(args);
    };
    let _lock = match Lock::take(&folder) {
        Ok(lock) => lock,
        // Another `delete` was faster.
        Err(_) if runtime.root()?.open_folder(&args.id)?.is_none() => return missing(args),
        Err(error) => return Err(error),
    };
    let state = folder.read_state()?;
    let status = state.as_ref().map_or(Status::Stopped, |state| current(&folder, state));
    if !args.force {
        status.allow(Verb::Delete, &args.id)?;
    }
    if let Some(report) = folder.crash_report() {
        tracing::warn!("the sandbox had failed: {}", crate::boot::resolve(&report));
    }
    destroy(runtime, &folder, state.as_ref())
}

fn missing(args: &Args) -> Result<()> {
    anyhow::ensure!(args.force, "container does not exist");
    Ok(())
}
