//! An empty read-only root, with nothing of the host reachable but what is named.

use std::ffi::CStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};

/// The root holds at most a mount point per mount.
const SIZE: &CStr = c"size=1m,nr_inodes=4k,mode=755";

const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Leaves this process, in its new mount namespace, without any file. `base` is any folder.
pub(crate) fn empty_root(base: &Path) -> Result<()> {
    root_with(base, &[])
}

/// The same, but `sources` can be found as /0, /1, … with all that is mounted below them.
pub(super) fn root_with(base: &Path, sources: &[&Path]) -> Result<()> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .context("make the mounts private")?;
    // Before the new root hides anything.
    let trees = sources.iter().map(|source| clone_tree(source)).collect::<Result<Vec<_>>>()?;
    mount("tmpfs", base, "tmpfs", FLAGS, SIZE)
        .with_context(|| format!("mount an empty root on {}", base.display()))?;
    for (index, tree) in trees.iter().enumerate() {
        attach(tree, sources[index], &base.join(index.to_string()))?;
    }
    chdir(base).context("enter the empty root")?;
    // Stacks the old root on the new one, from where it is then taken away (pivot_root(2)).
    pivot_root(".", ".").context("pivot_root to the empty root")?;
    unmount(".", UnmountFlags::DETACH).context("unmount the host's files")?;
    chdir("/").context("enter the empty root")?;
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | FLAGS, "")
        .context("make the empty root read-only")
}

fn clone_tree(source: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags).with_context(|| format!("bind {}", source.display()))
}

fn attach(tree: &OwnedFd, source: &Path, target: &Path) -> Result<()> {
    if fs::metadata(source).with_context(|| source.display().to_string())?.is_dir() {
        fs::create_dir(target)?;
    } else {
        fs::write(target, "")?;
    }
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("mount {} for the Gofer", source.display()))
}
