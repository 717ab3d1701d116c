//! `do`: one command over the host's files, which it can read but not change.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::run::{Run, attached};
use crate::runtime::Runtime;
use crate::spec::{Bundle, HostCommand, host_command_spec};

/// Arguments of `do`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Root of its files
    #[arg(long, default_value = "/")]
    root_folder: PathBuf,
    /// Working directory; as here when absent
    #[arg(long)]
    cwd: Option<PathBuf>,
    /// Command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: Args) -> Result<i32> {
    let cwd = args.cwd.map_or_else(std::env::current_dir, Ok).context("working directory")?;
    let text = |path: PathBuf| path.into_os_string().into_string().ok().context("path not UTF-8");
    let command = HostCommand {
        args: args.command,
        env: environment(),
        cwd: text(cwd)?,
        root: text(args.root_folder)?,
        terminal: rustix::termios::isatty(rustix::stdio::stdin())
            && rustix::termios::isatty(rustix::stdio::stdout()),
    };
    let bundle = Bundle { path: "/".into(), spec: host_command_spec(&command)? };
    let id = format!("do-{}", std::process::id());
    attached(runtime, &Run { id: &id, bundle: &bundle, overlay: true, image: None, pid_file: None })
}

/// The caller's environment, as far as it is text.
fn environment() -> Vec<String> {
    let entries = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (!name.is_empty()).then(|| format!("{name}={value}"))
    });
    entries.collect()
}
