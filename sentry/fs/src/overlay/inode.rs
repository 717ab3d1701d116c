//! Inodes of an overlay.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::AtomicU64},
};

use abi::{
    Errno,
    fs::mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG},
    fs::open::{O_ACCMODE, O_RDONLY},
};
use sched::Mutex;
use vfs::{
    Ctx, File, Inode, Metadata, Name, NewNode, RenameFlags, SetAttr, SleepLock, StatFs, XattrFlags,
};

use super::{
    file::{DirFile, OverlayFile},
    fs::{OWN_PREFIX, Overlay},
};
use crate::base::{DeviceKind, pipe::Fifo};

/// `OVERLAYFS_SUPER_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x794c_7630;

/// A file of either tree, or a directory of both.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "overlay::Node")]
pub(crate) struct Node {
    pub(super) fs: Arc<Overlay>,
    pub(super) ino: u64,
    /// Type bits.
    pub(super) kind: u32,
    rdev: u64,
    /// What it is in the lower tree, unless the upper one hides that.
    pub(super) lower: Option<Arc<dyn Inode>>,
    /// Where it is in the tree, while it is in the lower one only: nothing there is moved.
    pub(super) place: Option<(Arc<Node>, Name)>,
    pub(super) state: Mutex<State>,
    /// Held while it is copied up.
    #[state(skip)]
    pub(super) copying: SleepLock,
    /// A directory: held while its entries change.
    #[state(skip)]
    pub(super) changes: SleepLock,
    fifo: Fifo,
    pub(super) parent_ino: AtomicU64,
}

/// What changes.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct State {
    pub(super) me: Weak<Node>,
    pub(super) upper: Option<Arc<dyn Inode>>,
    /// Number of the upper inode of a file: its key in the registry.
    upper_ino: Option<u64>,
    /// Entries that somebody has.
    pub(super) children: BTreeMap<Name, Weak<Node>>,
    pub(super) sweep_at: usize,
    /// Grows with each change of the entries.
    pub(super) version: u64,
    /// It has no name any more.
    pub(super) removed: bool,
}

/// What a new inode is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) ino: u64,
    /// Of the side that shows.
    pub(super) meta: Metadata,
    pub(super) upper: Option<Arc<dyn Inode>>,
    pub(super) lower: Option<Arc<dyn Inode>>,
}

impl Node {
    pub(super) fn new(
        fs: &Arc<Overlay>,
        parts: Parts,
        place: Option<(Arc<Self>, Name)>,
    ) -> Arc<Self> {
        let Parts { ino, meta, upper, lower } = parts;
        let upper_ino = upper.as_ref().filter(|_| !meta.is_dir()).map(|_| meta.ino);
        let parent_ino = place.as_ref().map_or(ino, |(parent, _)| parent.ino);
        Arc::new_cyclic(|me| Self {
            fs: Arc::clone(fs),
            ino,
            kind: meta.kind(),
            rdev: meta.rdev,
            lower,
            place: place.filter(|_| upper.is_none()),
            state: Mutex::new(State {
                me: me.clone(),
                upper,
                upper_ino,
                children: BTreeMap::new(),
                sweep_at: 64,
                version: 0,
                removed: false,
            }),
            copying: SleepLock::default(),
            changes: SleepLock::default(),
            fifo: Fifo::new(fs.shared.charge()),
            parent_ino: AtomicU64::new(parent_ino),
        })
    }

    /// The root: a directory of both trees.
    pub(super) fn root(
        fs: &Arc<Overlay>,
        meta: Metadata,
        (upper, lower): (Arc<dyn Inode>, Arc<dyn Inode>),
    ) -> Arc<Self> {
        let parts = Parts { ino: meta.ino, meta, upper: Some(upper), lower: Some(lower) };
        Self::new(fs, parts, None)
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == S_IFDIR
    }

    /// The same as an `Arc`.
    pub(super) fn me(&self) -> Result<Arc<Self>, Errno> {
        self.state.lock().me.upgrade().ok_or(Errno::ESTALE)
    }

    pub(super) fn upper(&self) -> Option<Arc<dyn Inode>> {
        self.state.lock().upper.clone()
    }

    /// It was copied up.
    pub(super) fn set_upper(&self, upper: &Arc<dyn Inode>, upper_ino: u64) -> Result<(), Errno> {
        let me = self.me()?;
        {
            let mut state = self.state.lock();
            state.upper = Some(Arc::clone(upper));
            state.upper_ino = (!self.is_dir()).then_some(upper_ino);
        }
        if !self.is_dir() {
            drop(self.fs.share_upper(upper_ino, me));
        }
        Ok(())
    }

    /// The side that shows.
    pub(super) fn real(&self) -> Result<Arc<dyn Inode>, Errno> {
        self.upper().or_else(|| self.lower.clone()).ok_or(Errno::EIO)
    }

    /// The node behind an inode of this overlay.
    fn of(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        let any: Arc<dyn Any + Send + Sync> = inode.clone();
        let node = any.downcast::<Self>().map_err(|_| Errno::EXDEV)?;
        if Arc::ptr_eq(&node.fs, &self.fs) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    fn open_file(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let real =
            if flags & O_ACCMODE == O_RDONLY { self.real()? } else { self.copy_up(cx, None)? };
        let real = real.open(cx, flags)?;
        Ok(Arc::new(OverlayFile::new(self, real)))
    }
}

impl Inode for Node {
    fn metadata(&self, cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let (upper, removed) = {
            let state = self.state.lock();
            (state.upper.clone(), state.removed)
        };
        let mut meta = match (&upper, &self.lower) {
            (Some(upper), _) => upper.metadata(cx)?,
            (None, Some(lower)) => lower.metadata(cx)?,
            (None, None) => return Err(Errno::EIO),
        };
        (meta.dev, meta.ino) = (self.fs.dev, self.ino);
        if self.is_dir() && self.lower.is_some() {
            // As on Linux: nobody counts the directories of two trees.
            meta.nlink = if removed { 0 } else { 1 };
        } else if removed && upper.is_none() {
            meta.nlink = meta.nlink.saturating_sub(1);
        }
        Ok(meta)
    }

    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        if change.size.is_some() && self.kind != S_IFREG {
            return Err(Errno::EINVAL);
        }
        self.copy_up(cx, change.size)?.set_attr(cx, change)
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let kind = match self.kind {
            S_IFREG => return self.open_file(cx, flags),
            S_IFDIR => return Ok(Arc::new(DirFile::new(self))),
            S_IFLNK => return Err(Errno::ELOOP),
            S_IFIFO => return Ok(self.fifo.open(cx, (self.clone(), self.ino), flags)?),
            S_IFCHR => DeviceKind::Char,
            S_IFBLK => DeviceKind::Block,
            _ => return Err(Errno::ENXIO),
        };
        let (shared, number) = (self.fs.shared.clone(), (kind, self.rdev));
        shared.devices().open(cx, number, self, flags)
    }

    fn lookup(&self, cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.find(cx, name)?)
    }

    fn prefetch(&self, cx: &Ctx<'_>, rest: &[u8]) {
        if let Some(lower) = &self.lower {
            lower.prefetch(cx, rest);
        }
    }

    fn create(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.create_entry(cx, name, node, mode)?)
    }

    fn create_unnamed(&self, cx: &Ctx<'_>, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
        let upper = self.copy_up(cx, None)?.create_unnamed(cx, mode)?;
        Ok(self.node_of_upper(cx, upper)?)
    }

    fn link(&self, cx: &Ctx<'_>, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.link_entry(cx, name, &self.of(target)?)
    }

    fn unlink(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.remove_entry(cx, name, false)
    }

    fn rmdir(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.remove_entry(cx, name, true)
    }

    fn rename(
        &self,
        cx: &Ctx<'_>,
        from: &Name,
        to_dir: &Arc<dyn Inode>,
        to: &Name,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.rename_entry(cx, from, (&self.of(to_dir)?, to), flags)
    }

    fn read_link(&self, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        self.real()?.read_link(cx)
    }

    fn stat_fs(&self, cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs { magic: MAGIC, ..self.fs.work.stat_fs(cx)? })
    }

    fn get_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if name.starts_with(OWN_PREFIX) {
            return Err(Errno::ENODATA);
        }
        self.real()?.get_xattr(cx, name)
    }

    fn set_xattr(
        &self,
        cx: &Ctx<'_>,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        if name.starts_with(OWN_PREFIX) {
            return Err(Errno::EPERM);
        }
        self.copy_up(cx, None)?.set_xattr(cx, name, value, flags)
    }

    fn list_xattr(&self, cx: &Ctx<'_>) -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = match self.real()?.list_xattr(cx) {
            Err(Errno::EOPNOTSUPP) => Vec::new(),
            names => names?,
        };
        names.retain(|name| !name.starts_with(OWN_PREFIX));
        Ok(names)
    }

    fn remove_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<(), Errno> {
        if name.starts_with(OWN_PREFIX) {
            return Err(Errno::EPERM);
        }
        self.get_xattr(cx, name)?;
        self.copy_up(cx, None)?.remove_xattr(cx, name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Node {
    /// Takes the chain of directories above apart in a loop: who made the lower tree decides how
    /// deep it is.
    fn drop(&mut self) {
        if let Some(upper_ino) = self.state.get_mut().upper_ino {
            self.fs.dropped(upper_ino);
        }
        let mut above = self.place.take();
        while let Some((parent, _)) = above {
            above = Arc::into_inner(parent).and_then(|mut last| last.place.take());
        }
    }
}
