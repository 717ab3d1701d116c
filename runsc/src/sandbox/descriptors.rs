//! Handing descriptors and a configuration down to a new process.
//!
//! The start-up channel and the configuration have fixed numbers; the configuration names all others.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Starter;
use super::spawn::{FIRST_FD, inherit};
use crate::channel::Channel;

const STARTUP: RawFd = FIRST_FD;
const CONFIGURATION: RawFd = FIRST_FD + 1;
const OTHERS: RawFd = FIRST_FD + 2;

/// The descriptors for a new process, in the order of their numbers there.
#[derive(Debug, Default)]
pub(crate) struct Descriptors<'a> {
    others: Vec<BorrowedFd<'a>>,
}

impl<'a> Descriptors<'a> {
    /// Adds one; returns its number in the new process.
    pub(crate) fn add(&mut self, fd: BorrowedFd<'a>) -> Result<RawFd> {
        let number = OTHERS + RawFd::try_from(self.others.len())?;
        self.others.push(fd);
        Ok(number)
    }

    /// All of them.
    pub(crate) fn all(&self, startup: &'a Channel, configuration: &'a File) -> Vec<BorrowedFd<'a>> {
        let fixed = [startup.as_fd(), configuration.as_fd()];
        fixed.into_iter().chain(self.others.iter().copied()).collect()
    }
}

/// A file in memory with the configuration.
pub(crate) fn write_configuration(configuration: &impl Serialize) -> Result<File> {
    let memory = memfd_create("runsc-configuration", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(&serde_json::to_vec(configuration)?)?;
    file.rewind()?;
    Ok(file)
}

/// In the new process: the start-up channel and the configuration.
pub(crate) fn read_configuration<T: DeserializeOwned>() -> Result<(Starter, T)> {
    let starter = Starter::new(Channel::from(inherit(STARTUP)?));
    let mut text = Vec::new();
    File::from(inherit(CONFIGURATION)?).read_to_end(&mut text)?;
    let configuration = serde_json::from_slice(&text).context("read the configuration")?;
    Ok((starter, configuration))
}

/// In the new process: the descriptor with this number.
pub(crate) fn take(number: RawFd) -> Result<OwnedFd> {
    inherit(number)
}
