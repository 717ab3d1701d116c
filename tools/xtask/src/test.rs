//! Each kind of test by its name.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::{build, cargo, check, setup};

/// Packages whose tests need a built `runsc`: they are not part of the unit tests.
const NEED_SANDBOXES: &[&str] = &["syscall-tests", "oci-tests", "attack-tests"];

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One kind; without it, what CI runs: the rules, unit, fuzz, then those that need sandboxes.
    kind: Option<Kind>,
    /// Only tests (or guest programs) whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Take the `runsc` that lies in the target folder as it is.
    #[arg(long)]
    no_build: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Tests beside the code, in every crate.
    Unit,
    /// Guest programs, first on this kernel, then in sandboxes.
    Syscalls,
    /// Life cycle of containers by the command line.
    Oci,
    /// Filters that are installed: counts, and that a forbidden call kills.
    Seccomp,
    /// Hostile input at each border, bounded in time.
    Fuzz,
    /// What takes minutes: stress, many sandboxes, real root file systems.
    Soak,
    /// Everything, soak too.
    All,
}

/// Runs the tests asked for.
///
/// # Errors
///
/// When one fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(kind) = args.kind else {
        return ci(args);
    };
    match kind {
        Kind::Unit => unit(args),
        Kind::Syscalls => sandboxes(args, "syscall-tests", None),
        Kind::Oci => sandboxes(args, "oci-tests", None),
        Kind::Seccomp => sandboxes(args, "attack-tests", Some("seccomp")),
        Kind::Fuzz => fuzz(args),
        Kind::Soak => soak(args),
        Kind::All => ci(args).and_then(|()| soak(args)),
    }
}

/// What CI runs.
fn ci(args: &Args) -> Result<()> {
    setup::run()?;
    check::rules()?;
    unit(args)?;
    let runsc = runsc(args)?;
    NEED_SANDBOXES.iter().try_for_each(|package| cargo::run(&mut test(args, package, &runsc)))
}

fn unit(args: &Args) -> Result<()> {
    let mut command = cargo::cargo();
    command.args(["test", "--workspace"]);
    for package in NEED_SANDBOXES {
        command.args(["--exclude", package]);
    }
    command.args(&args.only);
    cargo::run(&mut command)
}

fn fuzz(args: &Args) -> Result<()> {
    cargo::run(cargo::cargo().args(["test", "--package", "fuzz-tests"]).args(&args.only))
}

fn sandboxes(args: &Args, package: &str, target: Option<&str>) -> Result<()> {
    setup::run()?;
    let runsc = runsc(args)?;
    let mut command = test(args, package, &runsc);
    if let Some(target) = target {
        command.args(["--test", target]);
    }
    cargo::run(&mut command)
}

fn soak(args: &Args) -> Result<()> {
    setup::run_for_soak()?;
    let runsc = runsc(args)?;
    for package in NEED_SANDBOXES {
        // By name: other ignored tests are those of a platform that is not there.
        cargo::run(test(args, package, &runsc).args(["--", "--ignored", "soak"]))?;
    }
    Ok(())
}

fn test(args: &Args, package: &str, runsc: &Path) -> Command {
    let mut command = cargo::cargo();
    command.args(["test", "--package", package]).env("RUNSC", runsc);
    command.args(&args.only);
    command
}

fn runsc(args: &Args) -> Result<PathBuf> {
    if args.no_build {
        let target = cargo::metadata()?.target_directory;
        return Ok(target.join("release/runsc").into_std_path_buf());
    }
    build::run()
}
