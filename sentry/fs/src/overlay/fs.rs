//! A mounted overlay.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use abi::Errno;
use auth::Credentials;
use sched::{Fiber, Mutex};
use vfs::{
    Ctx, Dentry, Filesystem, Inode, MountFlags, MountNamespace, Name, NewNode, RenameFlags,
    SetAttr, SetTime, XattrFlags,
};

use super::inode::Node;
use crate::{Root, Shared};

/// Marks a directory that hides the lower one of its name (overlayfs.rst).
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Remembers the inode number of what a file was copied from.
const ORIGIN: &[u8] = b"trusted.overlay.origin";
/// Attributes with this prefix are the overlay's own.
pub(super) const OWN_PREFIX: &[u8] = b"trusted.overlay.";
/// Set in the numbers of inodes that exist in the upper tree only, so that they differ from
/// those of the lower one.
const UPPER_ONLY: u64 = 1 << 62;

/// An overlay.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Overlay {
    pub(super) shared: Arc<Shared>,
    pub(super) dev: u64,
    /// A directory beside the upper tree, where things are made before they are shown.
    pub(super) work: Arc<dyn Inode>,
    creds: Arc<Credentials>,
    next_temp: AtomicU64,
    /// Inodes of files by the number of their upper inode, which may have several names.
    uppers: Mutex<BTreeMap<u64, Weak<Node>>>,
}

impl Overlay {
    /// The same caller with all rights: for what the overlay does on its own account.
    pub(super) fn own<'a>(&'a self, cx: &Ctx<'a>) -> Ctx<'a> {
        Ctx { creds: &self.creds, ..*cx }
    }

    /// A name in the work directory.
    pub(super) fn temp(&self) -> Result<Name, Errno> {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        Name::new(format!("#{number:x}").as_bytes())
    }

    /// True for an upper inode that says: there is nothing here.
    pub(super) fn is_whiteout(&self, cx: &Ctx<'_>, inode: &dyn Inode) -> Result<bool, Errno> {
        let meta = inode.metadata(cx)?;
        Ok(meta.kind() == abi::fs::mode::S_IFCHR && meta.rdev == 0)
    }

    /// Puts a whiteout in the place of an entry of an upper directory, in one step; what was
    /// there is then in the work directory, under the name that is returned.
    pub(super) fn white_out(
        &self,
        cx: &Ctx<'_>,
        dir: &Arc<dyn Inode>,
        name: &Name,
    ) -> Result<Name, Errno> {
        let (cx, temp) = (&self.own(cx), self.temp()?);
        self.work.create(cx, &temp, NewNode::CharDevice(0), 0)?;
        let exchange = RenameFlags { exchange: true, ..RenameFlags::default() };
        let exchanged = self.work.rename(cx, &temp, dir, name, exchange);
        exchanged.inspect_err(|_| {
            let _ = self.work.unlink(cx, &temp);
        })?;
        Ok(temp)
    }

    pub(super) fn is_opaque(&self, cx: &Ctx<'_>, upper: &dyn Inode) -> Result<bool, Errno> {
        match upper.get_xattr(&self.own(cx), OPAQUE) {
            Ok(value) => Ok(value == b"y"),
            Err(Errno::ENODATA) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn set_opaque(&self, cx: &Ctx<'_>, upper: &dyn Inode) -> Result<(), Errno> {
        upper.set_xattr(&self.own(cx), OPAQUE, b"y", XattrFlags::default())
    }

    pub(super) fn set_origin(
        &self,
        cx: &Ctx<'_>,
        upper: &dyn Inode,
        ino: u64,
    ) -> Result<(), Errno> {
        upper.set_xattr(&self.own(cx), ORIGIN, &ino.to_le_bytes(), XattrFlags::default())
    }

    /// The number to show for an upper inode: that of its origin, if it was copied.
    pub(super) fn ino_of_upper(&self, cx: &Ctx<'_>, upper: &dyn Inode) -> Result<u64, Errno> {
        match upper.get_xattr(&self.own(cx), ORIGIN) {
            Ok(value) => Ok(u64::from_le_bytes(value.try_into().map_err(|_| Errno::EIO)?)),
            Err(Errno::ENODATA) => Ok(upper.metadata(cx)?.ino | UPPER_ONLY),
            Err(error) => Err(error),
        }
    }

    /// The inode of an upper file that has number `upper_ino` there, or `new`.
    pub(super) fn share_upper(&self, upper_ino: u64, new: Arc<Node>) -> Arc<Node> {
        let mut uppers = self.uppers.lock();
        if let Some(known) = uppers.get(&upper_ino).and_then(Weak::upgrade) {
            drop(uppers);
            return known;
        }
        uppers.insert(upper_ino, Arc::downgrade(&new));
        new
    }

    /// An inode was dropped.
    pub(super) fn dropped(&self, upper_ino: u64) {
        let mut uppers = self.uppers.lock();
        if uppers.get(&upper_ino).is_some_and(|node| node.strong_count() == 0) {
            uppers.remove(&upper_ino);
        }
    }
}

/// What is mounted.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "overlay::Mounted")]
pub(crate) struct Mounted;

impl Filesystem for Mounted {
    fn kind(&self) -> &'static str {
        "overlay"
    }

    fn options(&self) -> String {
        "lowerdir=/,upperdir=/upper,workdir=/work".to_owned()
    }
}

/// Lays a changeable tree over the directory `lower`; changes go to `memory`, the empty root of a
/// file system in memory.
///
/// # Errors
///
/// What either file system says.
pub fn mount(
    fiber: &Fiber<'_>,
    shared: &Arc<Shared>,
    lower: Arc<dyn Inode>,
    memory: &Arc<dyn Inode>,
) -> Result<Root, Errno> {
    let fs: Arc<dyn Filesystem> = Arc::new(Mounted);
    let creds = Arc::new(Credentials::root());
    // Nobody stands anywhere yet: a namespace of our own for the first steps.
    let dentry = Dentry::root(lower.clone());
    let mounts = MountNamespace::new(fs.clone(), dentry, "none", MountFlags::default());
    let place = mounts.root();
    let (root, cwd, creds, mounts) = (&place, &place, &creds, &mounts);
    let cx = &Ctx { fiber, creds, root, cwd, mounts, umask: 0, task: None };
    let work = memory.create(cx, &Name::new(b"work")?, NewNode::Dir, 0o700)?;
    let upper = memory.create(cx, &Name::new(b"upper")?, NewNode::Dir, 0o755)?;
    let meta = lower.metadata(cx)?;
    let (mode, uid, gid) = (Some(meta.mode & 0o7777), Some(meta.uid), Some(meta.gid));
    let (atime, mtime) = (Some(SetTime::To(meta.atime)), Some(SetTime::To(meta.mtime)));
    upper.set_attr(cx, &SetAttr { mode, uid, gid, atime, mtime, size: None })?;
    let overlay = Arc::new(Overlay {
        shared: Arc::clone(shared),
        dev: shared.next_dev(),
        work,
        creds: Arc::clone(creds),
        next_temp: AtomicU64::new(0),
        uppers: Mutex::default(),
    });
    let root = Node::root(&overlay, meta, (upper, lower));
    Ok((fs, root))
}
