//! On whose behalf a file system works.

use std::{any::Any, sync::Arc};

use auth::Credentials;
use sched::Fiber;

use crate::{MountNamespace, Path};

/// The caller of a file operation: who it is, where it stands, and the fiber that may block.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The fiber on which the caller runs: waiting goes through it.
    pub fiber: &'a Fiber<'a>,
    /// Whose rights count.
    pub creds: &'a Arc<Credentials>,
    /// The caller's root directory.
    pub root: &'a Path,
    /// The caller's current directory.
    pub cwd: &'a Path,
    /// The caller's mounts.
    pub mounts: &'a Arc<MountNamespace>,
    /// Mode bits that new files do not get (umask(2)).
    pub umask: u32,
    /// The calling `kernel::Task`, for file systems above the kernel (proc, devpts); `None`
    /// while the sandbox is being set up.
    pub task: Option<&'a Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx").field("uid", &self.creds.fsuid).finish_non_exhaustive()
    }
}
