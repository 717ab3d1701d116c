//! `update`: new limits for a container.
//!
//! They are the cgroup's. What the sandbox was told at its start, its size of memory, stays.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::state::current;
use crate::container::Verb;
use crate::runtime::Runtime;
use crate::sandbox::cgroup;
use crate::spec;

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
    let (folder, _lock) = runtime.lock(&args.id)?;
    let state = folder.state()?;
    current(&folder, &state).allow(Verb::Update, &args.id)?;
    let file = args.resources.as_ref().context("--resources: missing: expected a file")?;
    cgroup::update(&state.cgroups, &spec::parse_resources(file)?)
}
