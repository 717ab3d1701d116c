//! Mounts and mount namespaces.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use abi::Errno;
use sched::{Mutex, RwLock};
use state::live::Live;

use crate::{Dentry, LockTable, Path};

/// A file system that is mounted somewhere.
pub trait Filesystem: state::Object + fmt::Debug {
    /// Its type as `/proc/mounts` shows it (`tmpfs`).
    fn kind(&self) -> &'static str;

    /// Its own options as `/proc/mounts` shows them, without the generic ones.
    fn options(&self) -> String {
        String::new()
    }
}

/// Generic mount options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent option of mount(2)")]
pub struct MountFlags {
    /// `ro`.
    pub read_only: bool,
    /// `nosuid`.
    pub no_suid: bool,
    /// `nodev`.
    pub no_dev: bool,
    /// `noexec`.
    pub no_exec: bool,
    /// `noatime`.
    pub no_atime: bool,
}

/// A file system (or a part of one, for a bind mount) at a place.
#[derive(Debug, state::Save, state::Load)]
pub struct Mount {
    /// Number, as `/proc/PID/mountinfo` shows it.
    pub id: u64,
    /// The file system.
    pub filesystem: Arc<dyn Filesystem>,
    /// What of it is seen here.
    pub root: Arc<Dentry>,
    /// Source as `/proc/mounts` shows it.
    pub source: String,
    /// Options.
    pub flags: Mutex<MountFlags>,
    at: Mutex<Option<Path>>,
    #[state(skip)]
    _live: Live<Self>,
}

impl Mount {
    /// Where it is mounted; `None` for the root mount and one that was unmounted.
    #[must_use]
    pub fn at(&self) -> Option<Path> {
        self.at.lock().clone()
    }

    /// Its options now.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        *self.flags.lock()
    }
}

/// The mounts that a group of tasks sees.
#[derive(Debug, state::Save, state::Load)]
pub struct MountNamespace {
    /// In order of mounting; the first is the root.
    mounts: RwLock<Vec<Arc<Mount>>>,
    next_id: AtomicU64,
    /// Locks on files: the same in all namespaces of a sandbox.
    locks: Arc<LockTable>,
}

/// Most mounts of a namespace (Linux: `/proc/sys/fs/mount-max`, 100,000).
const MOUNTS_MAX: usize = 10_000;

impl MountNamespace {
    /// Makes a namespace whose root is `root` of `filesystem`.
    #[must_use]
    pub fn new(
        filesystem: Arc<dyn Filesystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        let namespace = Self {
            mounts: RwLock::new(Vec::new()),
            next_id: AtomicU64::new(20),
            locks: Arc::default(),
        };
        let mount = namespace.make(filesystem, root, source, flags);
        namespace.mounts.write().push(mount);
        Arc::new(namespace)
    }

    fn make(
        &self,
        filesystem: Arc<dyn Filesystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Mount> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (flags, at) = (Mutex::new(flags), Mutex::new(None));
        Arc::new(Mount {
            id,
            filesystem,
            root,
            source: source.to_owned(),
            flags,
            at,
            _live: Live::new(),
        })
    }

    /// Makes a mount that stands nowhere, for files that have no place in the tree.
    #[must_use]
    pub fn detached(
        filesystem: Arc<dyn Filesystem>,
        root: Arc<Dentry>,
        source: &str,
    ) -> Arc<Mount> {
        let (flags, at) = (Mutex::default(), Mutex::new(None));
        Arc::new(Mount {
            id: 0,
            filesystem,
            root,
            source: source.to_owned(),
            flags,
            at,
            _live: Live::new(),
        })
    }

    /// The root of the first mount, with what is mounted over it.
    ///
    /// # Panics
    ///
    /// Never: a namespace has its root mount for life.
    #[must_use]
    pub fn root(&self) -> Path {
        let first = self.mounts.read().first().cloned();
        #[expect(clippy::unwrap_used, reason = "pushed by `new` and never removed")]
        let mount = first.unwrap();
        let path = Path { dentry: mount.root.clone(), mount };
        self.enter(path)
    }

    /// Mounts `root` of `filesystem` on the directory or file `at`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are too many mounts.
    pub fn mount(
        &self,
        at: Path,
        filesystem: Arc<dyn Filesystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Result<Arc<Mount>, Errno> {
        let mount = self.make(filesystem, root, source, flags);
        let mut mounts = self.mounts.write();
        if mounts.len() >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        at.dentry.add_mount();
        *mount.at.lock() = Some(at);
        mounts.push(mount.clone());
        Ok(mount)
    }

    /// Removes the mount whose root is `path`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if nothing is mounted there, `EBUSY` if something is mounted below it (unless
    /// `detach`) or it is the root.
    pub fn unmount(&self, path: &Path, detach: bool) -> Result<(), Errno> {
        if !Arc::ptr_eq(&path.dentry, &path.mount.root) {
            return Err(Errno::EINVAL);
        }
        let mut mounts = self.mounts.write();
        if mounts.first().is_some_and(|first| Arc::ptr_eq(first, &path.mount)) {
            return Err(Errno::EBUSY);
        }
        let mut gone = vec![path.mount.clone()];
        let mut next = 0;
        while let Some(parent) = gone.get(next).cloned() {
            next += 1;
            let below = mounts
                .iter()
                .filter(|m| m.at.lock().as_ref().is_some_and(|at| Arc::ptr_eq(&at.mount, &parent)));
            gone.extend(below.cloned());
        }
        if gone.len() > 1 && !detach {
            return Err(Errno::EBUSY);
        }
        mounts.retain(|m| !gone.iter().any(|g| Arc::ptr_eq(g, m)));
        for mount in &gone {
            if let Some(at) = mount.at.lock().take() {
                at.dentry.remove_mount();
            }
        }
        Ok(())
    }

    /// Goes from a mount point to what is mounted on it, as often as needed.
    #[must_use]
    pub fn enter(&self, mut path: Path) -> Path {
        while path.dentry.is_mount_point() {
            let over = {
                let mounts = self.mounts.read();
                let on_it = |m: &&Arc<Mount>| m.at.lock().as_ref().is_some_and(|at| at.same(&path));
                mounts.iter().rev().find(on_it).cloned()
            };
            match over {
                Some(mount) => path = Path { dentry: mount.root.clone(), mount },
                None => break,
            }
        }
        path
    }

    /// Locks on files.
    #[must_use]
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// All mounts, in order of mounting.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mount>> {
        self.mounts.read().clone()
    }

    /// A copy for a new namespace (`CLONE_NEWNS`), and the way from old places to new ones.
    pub fn duplicate(&self) -> (Arc<Self>, impl Fn(&Path) -> Path) {
        let old = self.list();
        let next_id = AtomicU64::new(self.next_id.load(Ordering::Relaxed));
        let copy = Self { mounts: RwLock::new(Vec::new()), next_id, locks: self.locks.clone() };
        let new: Vec<_> = old
            .iter()
            .map(|m| copy.make(m.filesystem.clone(), m.root.clone(), &m.source, m.flags()))
            .collect();
        let pairs: Vec<_> = old.iter().cloned().zip(new.iter().cloned()).collect();
        let translate = move |path: &Path| {
            let twin = pairs.iter().find(|(from, _)| Arc::ptr_eq(from, &path.mount));
            let mount = twin.map_or_else(|| path.mount.clone(), |(_, to)| to.clone());
            Path { mount, dentry: path.dentry.clone() }
        };
        for (from, to) in old.iter().zip(&new) {
            if let Some(at) = from.at() {
                at.dentry.add_mount();
                *to.at.lock() = Some(translate(&at));
            }
        }
        *copy.mounts.write() = new;
        (Arc::new(copy), translate)
    }
}
