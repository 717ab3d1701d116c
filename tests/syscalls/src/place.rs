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

/// What became of a program.
#[derive(Debug)]
pub struct Ran {
    /// What it printed, and how it ended.
    pub output: Output,
    /// Kernel objects that the sandbox says are alive after the last task: `none` when all is well.
    pub left: Option<String>,
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
    pub fn run(self, program: &Path) -> Result<Ran> {
        match self {
            Self::Native => {
                let folder = scratch()?;
                let run = Run::new(program).current_dir(folder.path()).env("HOME", "/");
                Ok(Ran { output: run.deadline(DEADLINE).output()?, left: None })
            }
            Self::Ptrace => in_sandbox(Kind::Ptrace, program),
        }
    }
}

/// How a sandbox ends the line of its debug log that tells what is alive after the last task.
const LIVE: &str = "live objects: ";

fn in_sandbox(kind: Kind, program: &Path) -> Result<Ran> {
    let rootfs = Rootfs::own_busybox()?;
    let name = program.file_name().context("program without a name")?.to_string_lossy();
    fs::create_dir(rootfs.path().join("guest"))?;
    fs::copy(program, rootfs.path().join("guest").join(&*name))?;
    let bundle = Bundle::new(&rootfs, &[format!("{INSIDE}/{name}")])?;
    let bundle =
        bundle.all_capabilities()?.edit(|config| config["process"]["cwd"] = "/tmp".into())?;
    let folder = scratch()?;
    let log = folder.path().join("debug.log");
    let runtime = Runtime::new(kind)?.with_debug_log(log.clone());
    let output = runtime.run_within(&bundle, DEADLINE)?;
    Ok(Ran { output, left: Some(left(&fs::read_to_string(log)?)) })
}

/// What a sandbox said it had left, from its debug log.
fn left(log: &str) -> String {
    let told = log.lines().rev().find_map(|line| line.split_once(LIVE));
    told.map_or("not told", |(_, left)| left.trim_end_matches('"')).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read_from_the_log() {
        assert_eq!(left("a\nlevel=debug msg=\"live objects: none\"\nb\n"), "none");
        assert_eq!(left("level=warning msg=\"live objects: 2 Pipe\"\n"), "2 Pipe");
        assert_eq!(left("level=debug msg=\"bye\"\n"), "not told");
    }
}
