//! Where a task stands in the tree of names.

use std::{any::Any, sync::Arc};

use auth::Credentials;
use sched::{Fiber, Mutex};
use state::live::Live;
use vfs::{Ctx, MountNamespace, Path};

use crate::Task;

/// Root, current directory, umask and mounts; shared by tasks with `CLONE_FS`.
#[derive(Debug, state::Save, state::Load)]
pub struct FsContext(#[state(early)] Mutex<Inner>);

#[derive(Clone, Debug, state::Save, state::Load)]
struct Inner {
    root: Path,
    cwd: Path,
    mounts: Arc<MountNamespace>,
    umask: u32,
    #[state(skip)]
    _live: Live<FsContext>,
}

impl FsContext {
    /// Makes one that stands at `root`.
    #[must_use]
    pub fn new(root: Path, mounts: Arc<MountNamespace>, umask: u32) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            cwd: root.clone(),
            root,
            mounts,
            umask,
            _live: Live::new(),
        })))
    }

    /// A copy of its own (clone(2) without `CLONE_FS`, unshare(2)).
    #[must_use]
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().clone())))
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Path {
        self.0.lock().root.clone()
    }

    /// The current directory.
    #[must_use]
    pub fn cwd(&self) -> Path {
        self.0.lock().cwd.clone()
    }

    /// The mounts.
    #[must_use]
    pub fn mounts(&self) -> Arc<MountNamespace> {
        self.0.lock().mounts.clone()
    }

    /// The mode bits that new files do not get.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.0.lock().umask
    }

    /// Changes the current directory.
    pub fn set_cwd(&self, path: Path) {
        let old = std::mem::replace(&mut self.0.lock().cwd, path);
        drop(old);
    }

    /// Changes the root directory.
    pub fn set_root(&self, path: Path) {
        let old = std::mem::replace(&mut self.0.lock().root, path);
        drop(old);
    }

    /// Enters another mount namespace, at `root` and `cwd` in it.
    pub fn set_mounts(&self, mounts: Arc<MountNamespace>, root: Path, cwd: Path) {
        let umask = self.umask();
        let inner = Inner { root, cwd, mounts, umask, _live: Live::new() };
        let old = std::mem::replace(&mut *self.0.lock(), inner);
        drop(old);
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.0.lock().umask, umask & 0o777)
    }

    /// What file operations of a caller need, taken together once.
    #[must_use]
    pub fn env<'f>(
        &self,
        fiber: &'f Fiber<'f>,
        creds: Arc<Credentials>,
        task: Option<&Arc<Task>>,
    ) -> FsEnv<'f> {
        let task = task.map(|task| Arc::clone(task) as Arc<dyn Any + Send + Sync>);
        FsEnv { fiber, creds, task, inner: self.0.lock().clone() }
    }
}

/// Owner of what a [`Ctx`] borrows. Made once per call: `let env = cx.env(); let fs = env.ctx();`
pub struct FsEnv<'f> {
    fiber: &'f Fiber<'f>,
    creds: Arc<Credentials>,
    task: Option<Arc<dyn Any + Send + Sync>>,
    inner: Inner,
}

impl FsEnv<'_> {
    /// The caller, for `vfs`.
    #[must_use]
    pub fn ctx(&self) -> Ctx<'_> {
        Ctx {
            fiber: self.fiber,
            creds: &self.creds,
            root: &self.inner.root,
            cwd: &self.inner.cwd,
            mounts: &self.inner.mounts,
            umask: self.inner.umask,
            task: self.task.as_ref(),
        }
    }
}

impl std::fmt::Debug for FsEnv<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FsEnv").finish_non_exhaustive()
    }
}
