#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod build;
mod cargo;
mod check;
mod file_length;
mod hygiene;
mod layers;
mod setup;
mod sources;
mod test;
mod try_it;
mod unsafe_rooms;
mod use_paths;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, checks and tests runsc.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole gate: rules, fmt, clippy, doc (and cargo-deny where it is installed).
    Check(check::Args),
    /// Builds one static `release/runsc` that needs nothing at run time.
    Build,
    /// Builds runsc, then runs a command in a sandbox over this machine's files (read-only).
    Do(try_it::Args),
    /// Runs tests; without a kind, what CI runs.
    Test(test::Args),
    /// Installs the Debian packages that tests need.
    Setup,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(args) => check::run(args),
        Command::Build => build::run().map(|_| ()),
        Command::Do(args) => try_it::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Setup => setup::run(),
    };
    // Not by returning the error: that would print a backtrace of xtask, which helps nobody.
    done.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
