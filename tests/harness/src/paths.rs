//! Where things lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The folder of the workspace.
#[must_use]
pub fn source_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where cargo builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| source_root().join("target"), |dir| source_root().join(dir))
}

/// The runsc under test: what the variable `RUNSC` says, else what `cargo xtask build` made.
#[must_use]
pub fn our_runsc() -> PathBuf {
    std::env::var_os("RUNSC").map_or_else(|| target_dir().join("release/runsc"), PathBuf::from)
}

/// A new empty folder that vanishes with its value.
///
/// # Errors
///
/// When it cannot be made.
pub fn scratch() -> Result<TempDir> {
    tempfile::Builder::new().prefix("runsc-test-").tempdir().context("temporary folder")
}
