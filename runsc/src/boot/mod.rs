//! The sandbox process: from its start to the end of its container.
//!
//! It is started in its namespaces and gives up, in this order: all files, all capabilities, all system
//! calls that it will not need. Only then does it say that it is ready.

mod config;
mod connection;
mod crash;
mod filters;
mod kernel;
mod platform;
mod sentry;
mod server;
mod signals;
#[cfg(test)]
mod standin;

pub(crate) use config::{BootConfig, Numbers};
pub(crate) use crash::resolve;

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use control::Report;
use rustix::thread::CapabilitySet;

use crate::sandbox::{drop_capabilities, empty_root, read_configuration, report, take};
use ::sentry::Sentry;
use server::Server;

/// Runs a container; returns the exit status of its first process.
pub(crate) fn boot() -> Result<i32> {
    let (starter, config) = read_configuration::<BootConfig>()?;
    let crash = take(config.numbers.crash)?;
    let mut server = match prepare(config, &crash) {
        Ok(server) => server,
        Err(error) => {
            starter.tell(Err(report("start the Sentry", &error)))?;
            return Err(error);
        }
    };
    starter.tell(Ok(()))?;
    starter.wait_for_adoption()?;
    server.run().inspect_err(|error| {
        // Nobody listens any more; the next command will read it.
        let _ = rustix::io::write(&crash, format!("{error:#}\n").as_bytes());
    })
}

fn prepare(config: BootConfig, crash: &OwnedFd) -> Result<Server<Sentry>> {
    rustix::thread::set_name(c"runsc-sandbox")?;
    let numbers = &config.numbers;
    let (listener, gofer) = (take(numbers.listener)?, take(numbers.gofer)?);
    hold(take(numbers.lifeline)?);
    if let Some(log) = numbers.log {
        crate::log::start_in_sandbox(take(log)?, config.options.debug);
    }
    crash::install(crash)?;
    let signals = signals::block()?;
    raise_file_limit()?;
    empty_root(&config.base).map_err(step("leave the host's files"))?;
    drop_capabilities(CapabilitySet::empty()).map_err(step("drop capabilities"))?;
    let platform = platform::choose(&config.options).map_err(step("start the platform"))?;
    let kernel = sentry::make(platform, config).map_err(step("start the Sentry"))?;
    let server = Server::new(kernel, listener, gofer, signals)?;
    filters::install().map_err(step("install the seccomp filter"))?;
    Ok(server)
}

fn step(name: &'static str) -> impl Fn(anyhow::Error) -> Report {
    move |error| report(name, &error)
}

/// Keeps a descriptor open until the process ends.
fn hold(fd: OwnedFd) {
    std::mem::forget(fd);
}

/// Descriptors of the Sentry are donated files and sockets of all its programs.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}
