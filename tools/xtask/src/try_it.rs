//! `cargo xtask do`: builds, then runs a command in a sandbox.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Becomes `runsc do COMMAND`.
///
/// # Errors
///
/// When the build fails or the binary cannot be started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runsc = build::run()?;
    Err(Command::new(runsc).arg("do").args(&args.command).exec()).context("runsc")
}
