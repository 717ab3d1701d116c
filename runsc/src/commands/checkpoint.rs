//! `checkpoint`: saves a running container to two files.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use control::Command;

use super::state::current;
use crate::container::Verb;
use crate::runtime::{Runtime, connect};

/// How long a sandbox that was saved may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Name of the kernel's state in an image.
const STATE: &str = "state.img";

/// Name of the memory in an image.
const PAGES: &str = "pages.img";

/// Arguments of `checkpoint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Folder for the image
    #[arg(long)]
    image_path: PathBuf,
    /// Let the container go on afterwards
    #[arg(long)]
    leave_running: bool,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let (folder, _lock) = runtime.lock(&args.id)?;
    let state = folder.state()?;
    current(&folder, &state).allow(Verb::Checkpoint, &args.id)?;
    let image = Image::create(&args.image_path)?;
    let files = [image.state.as_fd(), image.pages.as_fd()];
    let saved = connect(&folder, &state).and_then(|channel| channel.ask(Command::Save, &files));
    if let Err(error) = saved {
        Image::remove(&args.image_path);
        return Err(error);
    }
    image.state.sync_all()?;
    image.pages.sync_all()?;
    match state.sandbox.filter(|_| !args.leave_running) {
        Some(sandbox) => sandbox.kill(PATIENCE),
        None => Ok(()),
    }
}

/// A saved container.
#[derive(Debug)]
pub(crate) struct Image {
    /// All state of its kernel.
    pub(crate) state: File,
    /// All its memory.
    pub(crate) pages: File,
}

impl Image {
    fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        Self::with(folder, |path| {
            File::options().read(true).write(true).create_new(true).open(path)
        })
    }

    /// Removes what was written of an image that is none.
    fn remove(folder: &Path) {
        for name in [STATE, PAGES] {
            let _ = fs::remove_file(folder.join(name));
        }
    }

    /// Opens the image in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        Self::with(folder, |path| File::open(path))
    }

    fn with(folder: &Path, open: impl Fn(&Path) -> std::io::Result<File>) -> Result<Self> {
        let open = |name| {
            let path = folder.join(name);
            open(&path).with_context(|| format!("open {}", path.display()))
        };
        Ok(Self { state: open(STATE)?, pages: open(PAGES)? })
    }
}
