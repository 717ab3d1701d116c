//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::log::LogFormat;
use crate::options::{NetworkChoice, Options, PlatformChoice, PtraceMode};

/// `--version`, in the two lines that engines parse.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.1");

/// Runs containers on a kernel of their own, in user space
#[derive(Debug, Parser)]
#[command(name = "runsc", version = VERSION, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of all commands; they may stand before or after the verb.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Folder for the state of containers
    #[arg(long, global = true)]
    pub(crate) root: Option<PathBuf>,
    /// File for errors and warnings
    #[arg(long, global = true)]
    pub(crate) log: Option<PathBuf>,
    /// Format of that file
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Log in detail
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// File for details, instead of stderr
    #[arg(long, global = true)]
    pub(crate) debug_log: Option<PathBuf>,
    /// What runs application code
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) platform: PlatformChoice,
    /// How the ptrace platform hands over
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) ptrace_mode: PtraceMode,
    /// Log each system call of applications
    #[arg(long, global = true)]
    pub(crate) strace: bool,
    /// Where packets go
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) network: NetworkChoice,
    /// Read cgroup paths as systemd writes them
    #[arg(long, global = true)]
    pub(crate) systemd_cgroup: bool,
    /// Run on without cgroups that can't be made
    #[arg(long, global = true)]
    pub(crate) ignore_cgroups: bool,
    /// Accepted for engines; what an ordinary user can do is found out
    #[arg(long, global = true, hide = true)]
    pub(crate) rootless: Option<String>,
}

impl Global {
    /// What the sandbox must know.
    pub(crate) fn options(&self) -> Options {
        Options {
            platform: self.platform,
            ptrace_mode: self.ptrace_mode,
            strace: self.strace,
            debug: self.debug,
            network: self.network,
        }
    }
}

impl Verb {
    /// Is it one of the processes that `runsc` starts itself? They are told where their log is.
    pub(crate) fn is_process(&self) -> bool {
        matches!(self, Self::Boot(_) | Self::Gofer(_) | Self::ExecShadow(_))
    }
}

/// What `runsc` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command over the host's files, read-only with changes kept in memory
    Do(commands::r#do::Args),
    /// Create, start, wait for and delete a container
    Run(commands::run::Args),
    /// Create a container
    Create(commands::create::Args),
    /// Let a created container run
    Start(commands::start::Args),
    /// Show the state of a container
    State(commands::state::Args),
    /// Send a signal to a container
    Kill(commands::kill::Args),
    /// Remove a container
    Delete(commands::delete::Args),
    /// Run one more process in a container
    Exec(commands::exec::Args),
    /// List the containers
    List(commands::list::Args),
    /// List the processes of a container
    Ps(commands::ps::Args),
    /// Wait for a container to end
    Wait(commands::wait::Args),
    /// Hold all processes of a container
    Pause(commands::pause::Args),
    /// Let them go on
    Resume(commands::pause::Args),
    /// Show what a container uses
    Events(commands::events::Args),
    /// Change the limits of a container
    Update(commands::update::Args),
    /// Save a container to files
    #[command(hide = true)]
    Checkpoint(commands::checkpoint::Args),
    /// Run a container from such files
    #[command(hide = true)]
    Restore(commands::restore::Args),
    /// Look inside a sandbox
    Debug(commands::debug::Args),
    /// Write an example config.json
    Spec(commands::spec::Args),
    /// Show what this runtime can do, for engines
    Features,
    /// Show help: for commands, or about platforms or syscalls
    Help(commands::help::Args),
    /// The sandbox process
    #[command(hide = true)]
    Boot(commands::hidden::Args),
    /// The file server process
    #[command(hide = true)]
    Gofer(commands::hidden::Args),
    /// The host process of a detached exec
    #[command(hide = true)]
    ExecShadow(commands::hidden::Args),
}
