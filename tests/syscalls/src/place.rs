//! Runs a guest program on this kernel or in a sandbox.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{Bundle, Kind, Output, Rootfs, Run, Runtime, scratch};

/// Where the program lies inside the sandbox.
const INSIDE: &str = "/guest";

/// For a whole program; a case has a shorter one of its own.
const DEADLINE: Duration = Duration::from_secs(180);

/// Where a guest program can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This kernel: the oracle.
    Native,
    /// A sandbox on the ptrace platform.
    Ptrace,
}

impl Place {
    /// Every place, the oracle first.
    pub const ALL: &[Self] = &[Self::Native, Self::Ptrace];

    /// Its name in tests and in `tests/expect/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ptrace => "ptrace",
        }
    }

    /// Runs `program` here, in an empty folder that it may fill.
    ///
    /// # Errors
    ///
    /// When it cannot be started; a failing program is not an error.
    pub fn run(self, program: &Path) -> Result<Output> {
        match self {
            Self::Native => {
                let folder = scratch()?;
                let run = Run::new(program).current_dir(folder.path()).env("HOME", "/");
                run.deadline(DEADLINE).output()
            }
            Self::Ptrace => in_sandbox(&Runtime::new(Kind::Ptrace)?, program),
        }
    }
}

fn in_sandbox(runtime: &Runtime, program: &Path) -> Result<Output> {
    let rootfs = Rootfs::own_busybox()?;
    let name = program.file_name().context("program without a name")?.to_string_lossy();
    fs::create_dir(rootfs.path().join("guest"))?;
    fs::copy(program, rootfs.path().join("guest").join(&*name))?;
    let bundle = Bundle::new(&rootfs, &[format!("{INSIDE}/{name}")])?;
    let bundle =
        bundle.all_capabilities()?.edit(|config| config["process"]["cwd"] = "/tmp".into())?;
    runtime.run_within(&bundle, DEADLINE)
}
