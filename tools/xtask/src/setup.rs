//! The Debian packages that tests need.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo;

/// A file that tells that a package is there, the package, and who needs it.
const NEEDED: &[(&str, &str, &str)] = &[
    ("/usr/bin/gcc", "gcc", "guest programs are written in C"),
    ("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev", "guest programs and runsc are static"),
    ("/bin/busybox", "busybox-static", "the smallest root file system"),
    ("/usr/sbin/runc", "runc", "tells whether a test of containers is right"),
];

/// Only for the tests that take minutes.
const NEEDED_FOR_SOAK: &[(&str, &str, &str)] =
    &[("/usr/sbin/debootstrap", "debootstrap", "a root file system with real programs")];

/// Installs what the ordinary tests need.
///
/// # Errors
///
/// When a package is missing and cannot be installed.
pub(crate) fn run() -> Result<()> {
    install(&missing(NEEDED))
}

/// Installs what the long tests need as well.
///
/// # Errors
///
/// When a package is missing and cannot be installed.
pub(crate) fn run_for_soak() -> Result<()> {
    install(&[missing(NEEDED), missing(NEEDED_FOR_SOAK)].concat())
}

fn missing(needed: &[(&str, &'static str, &str)]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(file, _, _)| !Path::new(file).exists())
        .map(|(file, package, why)| {
            eprintln!("setup: {package} ({file}) is missing: {why}");
            *package
        })
        .collect()
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("please install what Debian calls: {}", packages.join(" "));
    }
    // A mirror may answer badly once.
    install_once(packages).or_else(|error| {
        eprintln!("setup: {error:#}; trying again");
        install_once(packages)
    })
}

fn install_once(packages: &[&str]) -> Result<()> {
    cargo::run(apt_get().arg("update"))?;
    cargo::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(std::process::Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_whose_file_is_absent_are_missing() {
        let needed = [("/proc/self/exe", "there", ""), ("/no/such/file", "absent", "")];
        assert_eq!(missing(&needed), ["absent"]);
    }
}
