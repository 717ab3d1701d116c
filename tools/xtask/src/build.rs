//! One static `runsc`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;

/// glibc, linked statically: the binary is a static-pie.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds `release/runsc` below the target folder and returns its path.
///
/// # Errors
///
/// When the build fails or the binary cannot be put in place.
pub(crate) fn run() -> Result<PathBuf> {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo::run(
        cargo::cargo()
            .args(["build", "--release", "--package", "runsc", "--target", TARGET])
            .env("RUSTFLAGS", format!("{flags} -C target-feature=+crt-static").trim_start()),
    )?;
    let target = cargo::metadata()?.target_directory.into_std_path_buf();
    let built = target.join(TARGET).join("release/runsc");
    let placed = target.join("release/runsc");
    // By rename: a running runsc keeps its own file, and a reader never sees half of one.
    let part = target.join(format!("release/.runsc.{}", std::process::id()));
    fs::create_dir_all(target.join("release")).context("target folder")?;
    fs::copy(&built, &part).with_context(|| format!("copy {}", built.display()))?;
    fs::rename(&part, &placed).with_context(|| format!("replace {}", placed.display()))?;
    eprintln!("built {}", placed.display());
    Ok(placed)
}
