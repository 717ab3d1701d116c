//! `restore`: a new sandbox that goes on where a saved one was.

use std::path::PathBuf;

use anyhow::Result;

use super::checkpoint::Image;
use super::run::{Run, attached, detached};
use crate::runtime::Runtime;
use crate::spec;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name for the container
    id: String,
    /// Folder of the image
    #[arg(long)]
    image_path: PathBuf,
    /// Folder with config.json
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// File for the container's pid
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Socket to send the container's terminal to
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(long, short)]
    detach: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<i32> {
    let bundle = spec::load(&args.bundle)?;
    let image = Image::open(&args.image_path)?;
    let run = Run {
        id: &args.id,
        bundle: &bundle,
        overlay: false,
        image: Some(&image),
        pid_file: args.pid_file.as_deref(),
    };
    if args.detach {
        return detached(runtime, &run, args.console_socket.as_deref());
    }
    attached(runtime, &run)
}
