#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod argv;
mod attach;
mod boot;
mod channel;
mod cli;
mod commands;
mod console;
mod container;
mod log;
mod options;
mod runtime;
mod sandbox;
mod seccomp;
mod signal;
mod spec;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::runtime::Runtime;

/// What a command exits with when it failed itself, as other runtimes do.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let command = Cli::command();
    let argv = argv::normalise(&command, std::env::args_os().collect());
    let cli = match command.try_get_matches_from(argv).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match Runtime::new(cli.global) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("runsc: {error:#}");
            return ExitCode::from(FAILED);
        }
    };
    if !cli.verb.is_process()
        && let Err(error) = runtime.start_log()
    {
        eprintln!("runsc: {error:#}");
    }
    match commands::run(&runtime, cli.verb) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(FAILED)),
        Err(error) => {
            runtime.report(&error);
            ExitCode::from(FAILED)
        }
    }
}
