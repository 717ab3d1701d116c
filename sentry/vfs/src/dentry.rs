//! Names in memory: the tree of dentries.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use abi::Errno;
use sched::Mutex;
use state::live::Live;

use crate::{Ctx, Inode, Name};

/// A name of an inode, in its directory.
///
/// A child keeps its parent alive; a parent only remembers its children. So a dentry lives as
/// long as somebody stands there: an open file, a current directory, a mount, a child.
#[derive(Debug, state::Save, state::Load)]
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: Mutex<Place>,
    children: Mutex<Children>,
    mounts: AtomicU32,
    removed: AtomicBool,
    #[state(skip)]
    _live: Live<Self>,
}

#[derive(Debug, Default, state::Save, state::Load)]
struct Place {
    parent: Option<Arc<Dentry>>,
    name: Option<Name>,
}

#[derive(Debug, Default, state::Save, state::Load)]
struct Children {
    by_name: BTreeMap<Name, Weak<Dentry>>,
    /// Grows with each change, so that a look-up that raced with one is not remembered.
    version: u64,
}

impl Dentry {
    /// Makes the root of a file system.
    #[must_use]
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Self> {
        Arc::new(Self::detached(inode, Place::default()))
    }

    fn detached(inode: Arc<dyn Inode>, place: Place) -> Self {
        Self {
            inode,
            place: Mutex::new(place),
            children: Mutex::default(),
            mounts: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            _live: Live::new(),
        }
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory it is in; `None` for the root of a file system.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.place.lock().parent.clone()
    }

    /// Its name; `None` for the root of a file system.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.place.lock().name.clone()
    }

    /// True once the name is gone from its directory.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// True if a file system is mounted on it, in some namespace.
    #[must_use]
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes a dentry that stands in no directory's list (an `O_TMPFILE` file, a bound socket).
    #[must_use]
    pub fn unlisted(self: &Arc<Self>, inode: Arc<dyn Inode>, name: Name) -> Arc<Self> {
        let place = Place { parent: Some(self.clone()), name: Some(name) };
        let dentry = Self::detached(inode, place);
        dentry.removed.store(true, Ordering::Relaxed);
        Arc::new(dentry)
    }

    /// Finds `name` in this directory, asking the file system where needed.
    ///
    /// # Errors
    ///
    /// As [`Inode::lookup`].
    pub fn lookup(self: &Arc<Self>, cx: &Ctx<'_>, name: &Name) -> Result<Arc<Self>, Errno> {
        let (known, version) = {
            let children = self.children.lock();
            (children.by_name.get(name).and_then(Weak::upgrade), children.version)
        };
        if let Some(child) = &known
            && (self.inode.cacheable() || child.is_mount_point())
        {
            return Ok(child.clone());
        }
        let inode = match self.inode.lookup(cx, name) {
            Ok(inode) => inode,
            Err(error) => {
                if error == Errno::ENOENT && known.is_some() {
                    self.forget(name);
                }
                return Err(error);
            }
        };
        if let Some(child) = known
            && Arc::ptr_eq(&child.inode, &inode)
        {
            return Ok(child);
        }
        Ok(self.remember(name, inode, Some(version)))
    }

    /// Puts a fresh entry into the list and returns its dentry. With a `version` that is no
    /// longer the present one, the dentry is returned but not remembered.
    fn remember(
        self: &Arc<Self>,
        name: &Name,
        inode: Arc<dyn Inode>,
        version: Option<u64>,
    ) -> Arc<Self> {
        let mut children = self.children.lock();
        if let Some(child) = children.by_name.get(name).and_then(Weak::upgrade)
            && Arc::ptr_eq(&child.inode, &inode)
        {
            return child;
        }
        let place = Place { parent: Some(self.clone()), name: Some(name.clone()) };
        let child = Arc::new(Self::detached(inode, place));
        if version.is_none_or(|v| v == children.version) {
            children.by_name.insert(name.clone(), Arc::downgrade(&child));
        }
        child
    }

    /// A new entry was made by the file system.
    pub(crate) fn created(self: &Arc<Self>, name: &Name, inode: Arc<dyn Inode>) -> Arc<Self> {
        self.children.lock().version += 1;
        self.remember(name, inode, None)
    }

    /// The entry is gone.
    pub(crate) fn forget(&self, name: &Name) {
        let old = {
            let mut children = self.children.lock();
            children.version += 1;
            children.by_name.remove(name)
        };
        if let Some(child) = old.and_then(|weak| weak.upgrade()) {
            child.removed.store(true, Ordering::Relaxed);
        }
    }

    /// The entry `from` of `self` is now `to` in `to_dir` (and the other way round if `exchange`).
    pub(crate) fn moved(
        self: &Arc<Self>,
        from: &Name,
        to_dir: &Arc<Self>,
        to: &Name,
        exchange: bool,
    ) {
        let moving = self.take(from);
        let target = to_dir.take(to);
        if let Some(target) = target {
            if exchange {
                self.settle(from, &target);
            } else {
                target.removed.store(true, Ordering::Relaxed);
            }
        }
        if let Some(moving) = moving {
            to_dir.settle(to, &moving);
        }
    }

    fn take(&self, name: &Name) -> Option<Arc<Self>> {
        let mut children = self.children.lock();
        children.version += 1;
        children.by_name.remove(name).and_then(|weak| weak.upgrade())
    }

    fn settle(self: &Arc<Self>, name: &Name, child: &Arc<Self>) {
        let mut children = self.children.lock();
        children.version += 1;
        children.by_name.insert(name.clone(), Arc::downgrade(child));
        let old = std::mem::replace(
            &mut *child.place.lock(),
            Place { parent: Some(self.clone()), name: Some(name.clone()) },
        );
        drop(children);
        drop(old);
    }

    /// True if `self` is `other` or lies below it (within one file system).
    #[must_use]
    pub fn is_below(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut here = self.clone();
        loop {
            if Arc::ptr_eq(&here, other) {
                return true;
            }
            match here.parent() {
                Some(parent) => here = parent,
                None => return false,
            }
        }
    }
}

impl Drop for Dentry {
    /// Takes the chain of parents apart in a loop: an application can nest directories so deep
    /// that dropping them one inside the other would overflow the stack.
    fn drop(&mut self) {
        let (mut parent, name) = {
            let mut place = self.place.lock();
            (place.parent.take(), place.name.take())
        };
        if let (Some(parent), Some(name)) = (&parent, name) {
            let mut children = parent.children.lock();
            if children.by_name.get(&name).is_some_and(|weak| weak.strong_count() == 0) {
                children.by_name.remove(&name);
            }
        }
        while let Some(dentry) = parent {
            parent = match Arc::try_unwrap(dentry) {
                Ok(last) => {
                    let place = std::mem::take(&mut *last.place.lock());
                    if let (Some(up), Some(name)) = (&place.parent, place.name) {
                        let mut children = up.children.lock();
                        if children.by_name.get(&name).is_some_and(|w| w.strong_count() == 0) {
                            children.by_name.remove(&name);
                        }
                    }
                    place.parent
                }
                Err(_) => None,
            };
        }
    }
}
