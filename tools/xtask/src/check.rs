//! The whole gate.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{cargo, file_length, hygiene, layers, sources, unsafe_rooms, use_paths};

/// What to leave out.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the rules that need no compiler.
    #[arg(long)]
    rules_only: bool,
}

/// Runs every check; the first tool that fails ends it, all rules are reported together.
///
/// # Errors
///
/// When something is to be mended.
pub(crate) fn run(args: Args) -> Result<()> {
    rules()?;
    if args.rules_only {
        return Ok(());
    }
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo::run(cargo::cargo().args(clippy))?;
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    cargo::run(cargo::cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    deny()?;
    eprintln!("check: everything in order");
    Ok(())
}

/// The rules that need no compiler.
///
/// # Errors
///
/// When one of them complains.
pub(crate) fn rules() -> Result<()> {
    let metadata = cargo::metadata()?;
    let files = sources::all(&cargo::root())?;
    let complaints = [
        layers::check(&metadata),
        use_paths::check(&files)?,
        unsafe_rooms::check(&files)?,
        unsafe_rooms::check_roots(&metadata, &files),
        file_length::check(&files),
        hygiene::check(&files),
    ]
    .concat();
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} complaints", complaints.len());
    }
    Ok(())
}

/// Licences, duplicates and sources of dependencies, where the tool for it is installed.
///
/// The advisory database is not asked: it would be a download at every check.
fn deny() -> Result<()> {
    let installed = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        eprintln!("check: cargo-deny is not installed: licences not checked");
        return Ok(());
    }
    cargo::run(cargo::cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]))
}
