//! User namespaces and their id maps; visits to network namespaces.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use super::spawn::{Namespaces, unshare};

/// Can this process make mount namespaces and the like?
pub(crate) fn is_privileged() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Makes an ordinary user root in a user namespace of its own. This process stays in it: it can do in there
/// what root can, with the files that the user owns.
pub(crate) fn enter_user_namespace() -> Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(Namespaces::USER).context("make a user namespace")?;
    write_maps("self", uid, gid)
}

/// Maps root of the user namespace of the waiting process `pid` to the caller's own user.
pub(super) fn map_to_self(pid: i32) -> Result<()> {
    write_maps(&pid.to_string(), geteuid().as_raw(), getegid().as_raw())
}

/// One id each way needs no privilege, as long as setgroups(2) is given up (`user_namespaces(7)`).
fn write_maps(process: &str, uid: u32, gid: u32) -> Result<()> {
    let write = |file: &str, text: String| {
        let path = format!("/proc/{process}/{file}");
        fs::write(&path, text).with_context(|| format!("write {path}"))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Runs `work` in the network namespace at `path`, if one is given, and comes back.
pub(super) fn in_network<T>(path: Option<&Path>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(path) = path else { return work() };
    let own = File::open("/proc/self/ns/net").context("open /proc/self/ns/net")?;
    enter_network(path)?;
    let result = work();
    enter(&own).context("come back from the container's network namespace")?;
    result
}

/// Moves this process to the network namespace of the process `pid`.
pub(crate) fn enter_network_of(pid: i32) -> Result<()> {
    enter_network(Path::new(&format!("/proc/{pid}/ns/net")))
}

fn enter_network(path: &Path) -> Result<()> {
    let said = || format!("enter the network namespace {}", path.display());
    enter(&File::open(path).with_context(said)?).with_context(said)
}

fn enter(namespace: &File) -> Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
