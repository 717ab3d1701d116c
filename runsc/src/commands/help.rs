//! `help`: of the commands, and what platforms and system calls there are.

use anyhow::{Result, bail};
use clap::CommandFactory;
use sentry::syscall_table::{Entry, Support, entries};

use crate::cli::Cli;

/// Arguments of `help`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `platforms`, `syscalls` or a command
    topic: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = Cli::command();
    match args.topic.as_deref() {
        None => command.print_help()?,
        Some("platforms") => print!("{PLATFORMS}"),
        Some("syscalls") => print!("{}", syscalls()),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(verb) => verb.print_help()?,
            None => bail!("no help about {topic:?}: expected platforms, syscalls or a command"),
        },
    }
    Ok(())
}

/// One line per system call that is served.
fn syscalls() -> String {
    let line = |entry: &Entry| {
        let support = match entry.support {
            Support::Full => "full".to_owned(),
            Support::Partial(missing) => format!("partial: {missing}"),
        };
        format!("{:>4}  {:24}  {support}\n", entry.number, entry.name)
    };
    let lines: String = entries().map(line).collect();
    format!("NUMBER  NAME  SUPPORT (any other call is answered with ENOSYS)\n{lines}")
}

const PLATFORMS: &str = "\
A platform runs application code and hands each system call to the sandbox's own kernel.

  ptrace  works wherever ptrace(2) does
  kvm     not built yet
  auto    the best one that this host can do (the default)
";
