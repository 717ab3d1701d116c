//! `spec`: an example config.json.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::spec::bundle_spec;

/// Arguments of `spec`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write it to
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// The container's command
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let path = args.bundle.join("config.json");
    let default = vec!["sh".to_owned()];
    let command = if args.args.is_empty() { &default } else { &args.args };
    let text = format!("{:#}\n", bundle_spec(command));
    // What somebody has written is not overwritten.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("make {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}
