//! Inodes: files of the host.

use std::{
    any::Any,
    sync::{Arc, atomic::AtomicU64},
};

use abi::{
    Errno, Timespec,
    fs::mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG},
};
use host::HostStatus;
use mm::{Copies, Mappings, Span};
use p9::{Attr, NOFID, SetAttrMask};
use sched::{Fiber, Mutex};
use vfs::{
    Ctx, File, Inode, Metadata, Name, NewNode, RenameFlags, SetAttr, SetTime, SleepLock, StatFs,
    XattrFlags,
};

use super::{
    client::{answer_as, text},
    directory::Names,
    file::{DirFile, RegularFile},
    fs::Tree,
    handle::Handles,
    recent::Stamp,
};
use crate::base::{DeviceKind, pipe::Fifo};

/// The root's number: the first that a session gives out.
pub(super) const ROOT_FID: u32 = 0;

/// How the Gofer knows an inode.
#[derive(Debug, state::Save, state::Load)]
pub(super) enum Fid {
    /// By this number.
    Bound(u32),
    /// Not yet: a listing told of it. It has this name in this directory.
    Named(Arc<Node>, Name),
}

/// A file of the host.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "gofer::Node")]
pub(crate) struct Node {
    pub(super) tree: Arc<Tree>,
    ino: u64,
    /// Type bits.
    kind: u32,
    rdev: u64,
    #[state(early)]
    fid: Mutex<Fid>,
    /// A place where it is: a checkpoint finds it again by that. An inode keeps the directories
    /// above it.
    place: Mutex<Option<(Arc<Node>, Name)>>,
    state: Mutex<State>,
    pub(super) names: Mutex<Names>,
    /// A directory: held while its entries change. A file: held while it is written.
    #[state(skip)]
    pub(super) changes: SleepLock,
    pub(super) handles: Mutex<Handles>,
    pub(super) mappings: Mutex<Mappings>,
    fifo: Fifo,
    pub(super) parent_ino: AtomicU64,
    #[state(skip)]
    pub(super) stamp: Stamp,
}

#[derive(Clone, Copy, Debug, Default, state::Save, state::Load)]
struct State {
    metadata: Metadata,
    /// When the Gofer was asked for it.
    asked_ns: u64,
    /// When we last changed something: an older answer says nothing any more.
    changed_ns: u64,
    /// We changed something and do not know what it came to.
    stale: bool,
    /// Owner or mode are among it: only the Gofer can tell. To the Sentry, which lives in a user
    /// namespace of its own, the host shows other owners.
    owner_stale: bool,
}

impl Node {
    pub(super) fn new(tree: &Arc<Tree>, attr: &Attr, fid: Fid, asked_ns: u64) -> Arc<Self> {
        let metadata = metadata_of(attr, tree.dev);
        let kind = attr.mode & S_IFMT;
        let node = Arc::new(Self {
            tree: Arc::clone(tree),
            ino: attr.qid.path,
            kind,
            rdev: attr.rdev,
            fid: Mutex::new(fid),
            place: Mutex::default(),
            state: Mutex::new(State {
                metadata,
                asked_ns,
                changed_ns: 0,
                stale: false,
                owner_stale: false,
            }),
            names: Mutex::default(),
            changes: SleepLock::default(),
            handles: Mutex::default(),
            mappings: Mutex::default(),
            fifo: Fifo::new(tree.shared.charge()),
            parent_ino: AtomicU64::new(attr.qid.path),
            stamp: Stamp::default(),
        });
        node.names.lock().me = Arc::downgrade(&node);
        node
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == S_IFDIR
    }

    /// The same as an `Arc`.
    pub(super) fn me(&self) -> Result<Arc<Self>, Errno> {
        self.names.lock().me.upgrade().ok_or(Errno::ESTALE)
    }

    pub(super) fn is_kind_of(&self, attr: &Attr) -> bool {
        attr.mode & S_IFMT == self.kind && attr.rdev == self.rdev
    }

    /// The node behind an inode of this tree.
    pub(super) fn of(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        let any: Arc<dyn Any + Send + Sync> = inode.clone();
        let node = any.downcast::<Self>().map_err(|_| Errno::EXDEV)?;
        if Arc::ptr_eq(&node.tree, &self.tree) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// The fid; asks for one where there is none yet.
    pub(super) fn fid(&self, fiber: &Fiber<'_>) -> Result<u32, Errno> {
        let (dir, name) = match &*self.fid.lock() {
            Fid::Bound(fid) => return Ok(*fid),
            Fid::Named(dir, name) => (Arc::clone(dir), name.clone()),
        };
        let from = dir.fid(fiber)?;
        let walked = self.tree.client.walk(fiber, from, std::slice::from_ref(&name))?;
        let (attr, fid) = *walked.reached.first().ok_or(walked.error.unwrap_or(Errno::ESTALE))?;
        if attr.qid.path != self.ino || !self.is_kind_of(&attr) {
            self.tree.client.forget(fid, false);
            return Err(Errno::ESTALE);
        }
        self.adopt(Fid::Bound(fid));
        match &*self.fid.lock() {
            Fid::Bound(fid) => Ok(*fid),
            Fid::Named(..) => Err(Errno::ESTALE),
        }
    }

    /// It is in `dir` under `name`.
    pub(super) fn settle(&self, dir: Arc<Self>, name: &Name) {
        let old = self.place.lock().replace((dir, name.clone()));
        drop(old);
    }

    /// It is no longer in `dir` under `name`.
    pub(super) fn unsettle(&self, dir: &Arc<Self>, name: &Name) {
        let old = {
            let mut place = self.place.lock();
            let is_here = |(at, known): &(Arc<Self>, Name)| Arc::ptr_eq(at, dir) && known == name;
            if place.as_ref().is_some_and(is_here) { place.take() } else { None }
        };
        drop(old);
    }

    /// Where it is, if that is known.
    pub(super) fn place(&self) -> Option<(Arc<Self>, Name)> {
        self.place.lock().clone()
    }

    /// Knows it by its name again: numbers are those of one session.
    pub(super) fn unbind(&self, dir: Arc<Self>, name: Name) {
        let old = {
            let mut fid = self.fid.lock();
            match &*fid {
                Fid::Bound(_) => Some(std::mem::replace(&mut *fid, Fid::Named(dir, name))),
                Fid::Named(..) => None,
            }
        };
        if let Some(Fid::Bound(old)) = old {
            self.tree.client.forget(old, false);
        }
    }

    /// Known by a number, which is not the root's.
    pub(super) fn is_bound(&self) -> bool {
        matches!(&*self.fid.lock(), Fid::Bound(fid) if *fid != ROOT_FID)
    }

    /// The names that lead to it from the root, if it is known by them.
    pub(super) fn path(&self) -> Vec<Name> {
        let mut names = Vec::new();
        let mut above = match &*self.fid.lock() {
            Fid::Named(dir, name) => Some((Arc::clone(dir), name.clone())),
            Fid::Bound(_) => None,
        };
        while let Some((dir, name)) = above {
            names.push(name);
            above = match &*dir.fid.lock() {
                Fid::Named(dir, name) => Some((Arc::clone(dir), name.clone())),
                Fid::Bound(_) => None,
            };
        }
        names.reverse();
        names
    }

    /// Takes another way to know it, if it has none that is as good.
    pub(super) fn adopt(&self, new: Fid) {
        let unused = {
            let mut fid = self.fid.lock();
            match (&*fid, &new) {
                (Fid::Named(..), Fid::Bound(_)) => std::mem::replace(&mut *fid, new),
                _ => new,
            }
        };
        match unused {
            Fid::Bound(fid) => self.tree.client.forget(fid, false),
            Fid::Named(dir, name) => drop((dir, name)),
        }
    }

    /// Takes over what the Gofer said when asked at `asked_ns`.
    pub(super) fn update(&self, attr: &Attr, asked_ns: u64) {
        let mut state = self.state.lock();
        if asked_ns < state.changed_ns {
            return;
        }
        state.metadata = metadata_of(attr, self.tree.dev);
        state.asked_ns = asked_ns;
        (state.stale, state.owner_stale) = (false, false);
    }

    /// We changed the inode: ask again before anybody is told of its attributes.
    pub(super) fn changed(&self) {
        let mut state = self.state.lock();
        state.changed_ns = host::clock::monotonic_ns();
        state.stale = true;
    }

    /// The same, and owner or mode are among it.
    fn owner_changed(&self) {
        self.changed();
        self.state.lock().owner_stale = true;
    }

    /// Attributes as they are known; `None` if the Gofer has to be asked.
    fn known(&self) -> Option<Metadata> {
        let state = *self.state.lock();
        (!state.stale && self.tree.is_fresh(state.asked_ns)).then_some(state.metadata)
    }

    /// What was last known of its attributes.
    pub(super) fn last_known(&self) -> Metadata {
        self.state.lock().metadata
    }

    pub(super) fn metadata_now(&self, fiber: &Fiber<'_>) -> Result<Metadata, Errno> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let asked = host::clock::monotonic_ns();
        let owner_stale = self.state.lock().owner_stale;
        if self.tree.is_exclusive()
            && !owner_stale
            && let Some(file) = self.donated()
        {
            // All that can have changed behind our back is what the open file tells.
            let now = file.status()?;
            let mut state = self.state.lock();
            let old = state.metadata;
            let HostStatus { size, blocks, mode, nlink, atime, mtime, ctime } = now;
            let kept = Metadata { mode, nlink, ..old };
            state.metadata = Metadata { size, blocks, atime, mtime, ctime, ..kept };
            state.stale &= asked < state.changed_ns;
            return Ok(state.metadata);
        }
        let attr = self.tree.client.attributes(fiber, self.fid(fiber)?)?;
        self.update(&attr, asked);
        Ok(metadata_of(&attr, self.tree.dev))
    }

    /// Sets the size, and takes what is cut off out of all mappings.
    fn truncate(&self, fiber: &Fiber<'_>, size: u64) -> Result<(), Errno> {
        let _alone = self.changes.lock(fiber);
        let writable = self.handles.lock().write.clone();
        match writable.as_ref().and_then(|handle| handle.file()) {
            Some(file) => file.truncate(size)?,
            None => {
                let new = p9::SetAttr { valid: SetAttrMask::SIZE, size, ..Default::default() };
                self.tree.client.set_attributes(fiber, self.fid(fiber)?, new)?;
            }
        }
        self.changed();
        let beyond = size.div_ceil(abi::PAGE_SIZE).saturating_mul(abi::PAGE_SIZE);
        let end = i64::MAX.cast_unsigned() & !(abi::PAGE_SIZE - 1);
        let gone = Span::new(beyond, end);
        mm::invalidate_all(|| self.mappings.lock().snapshot(), gone, Copies::Drop);
        Ok(())
    }
}

/// The part of a change that is not about the size, as the protocol has it.
fn request_of(change: &SetAttr) -> p9::SetAttr {
    let mut request = p9::SetAttr::default();
    if let Some(mode) = change.mode {
        (request.mode, request.valid) = (mode, request.valid | SetAttrMask::MODE);
    }
    if let Some(uid) = change.uid {
        (request.uid, request.valid) = (uid, request.valid | SetAttrMask::UID);
    }
    if let Some(gid) = change.gid {
        (request.gid, request.valid) = (gid, request.valid | SetAttrMask::GID);
    }
    let time =
        |time: Timespec| p9::Time { sec: time.sec, nsec: u64::try_from(time.nsec).unwrap_or(0) };
    if let Some(set) = change.atime {
        request.valid |= SetAttrMask::ATIME;
        if let SetTime::To(to) = set {
            (request.atime, request.valid) = (time(to), request.valid | SetAttrMask::ATIME_SET);
        }
    }
    if let Some(set) = change.mtime {
        request.valid |= SetAttrMask::MTIME;
        if let SetTime::To(to) = set {
            (request.mtime, request.valid) = (time(to), request.valid | SetAttrMask::MTIME_SET);
        }
    }
    request
}

fn metadata_of(attr: &Attr, dev: u64) -> Metadata {
    let time =
        |time: p9::Time| Timespec { sec: time.sec, nsec: i64::try_from(time.nsec).unwrap_or(0) };
    Metadata {
        dev,
        ino: attr.qid.path,
        mode: attr.mode,
        nlink: u32::try_from(attr.nlink).unwrap_or(u32::MAX),
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        size: attr.size,
        blocks: attr.blocks,
        block_size: u32::try_from(attr.blksize).unwrap_or(4096),
        atime: time(attr.atime),
        mtime: time(attr.mtime),
        ctime: time(attr.ctime),
        btime: time(attr.btime),
    }
}

impl Inode for Node {
    fn metadata(&self, cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        self.metadata_now(cx.fiber)
    }

    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        if let Some(size) = change.size {
            self.truncate(cx.fiber, size)?;
        }
        let request = request_of(change);
        if request.valid.is_empty() {
            return Ok(());
        }
        self.tree.client.set_attributes(cx.fiber, self.fid(cx.fiber)?, request)?;
        self.owner_changed();
        Ok(())
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let device = |kind| (kind, self.rdev);
        let (number, shared) = match self.kind {
            S_IFREG => return Ok(Arc::new(RegularFile::open(self, cx.fiber, flags)?)),
            S_IFDIR => return Ok(Arc::new(DirFile::new(self))),
            S_IFLNK => return Err(Errno::ELOOP),
            S_IFIFO => return Ok(self.fifo.open(cx, (self.clone(), self.ino), flags)?),
            S_IFCHR => (device(DeviceKind::Char), self.tree.shared.clone()),
            S_IFBLK => (device(DeviceKind::Block), self.tree.shared.clone()),
            _ => return Err(Errno::ENXIO),
        };
        shared.devices().open(cx, number, self, flags)
    }

    fn lookup(&self, cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.find(cx.fiber, name)?)
    }

    fn prefetch(&self, cx: &Ctx<'_>, rest: &[u8]) {
        if self.is_dir() && !self.tree.client.is_plain() {
            // What fails here fails again, and is told then.
            let _ = self.fetch(cx.fiber, rest);
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
        Ok(self.create_file(cx, None, mode)?)
    }

    fn link(&self, cx: &Ctx<'_>, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.link_entry(cx.fiber, name, &self.of(target)?)
    }

    fn unlink(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.remove_entry(cx.fiber, name, false)
    }

    fn rmdir(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.remove_entry(cx.fiber, name, true)
    }

    fn rename(
        &self,
        cx: &Ctx<'_>,
        from: &Name,
        to_dir: &Arc<dyn Inode>,
        to: &Name,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.rename_entry(cx.fiber, from, (&self.of(to_dir)?, to), flags)
    }

    fn read_link(&self, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        if self.kind != S_IFLNK {
            return Err(Errno::EINVAL);
        }
        // A link never changes: the names of a directory keep what it holds.
        if let Some(target) = self.names.lock().target.clone() {
            return Ok(target);
        }
        let target = self.tree.client.read_link(cx.fiber, self.fid(cx.fiber)?)?;
        self.names.lock().target = Some(target.clone());
        Ok(target)
    }

    fn stat_fs(&self, cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        let stat = self.tree.client.stat_fs(cx.fiber, self.fid(cx.fiber)?)?;
        Ok(StatFs {
            magic: u64::from(stat.kind),
            block_size: u64::from(stat.bsize),
            blocks: stat.blocks,
            blocks_free: stat.bfree,
            blocks_available: stat.bavail,
            files: stat.files,
            files_free: stat.ffree,
            name_max: u64::from(stat.namelen),
        })
    }

    fn get_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let client = self.tree.client.extended()?;
        let ask = p9::Tgetxattrx { fid: self.fid(cx.fiber)?, name: text(name)? };
        let (answer, _) = answer_as!(client.call(cx.fiber, ask)?, Getxattrx)?;
        Ok(answer.value.0)
    }

    fn set_xattr(
        &self,
        cx: &Ctx<'_>,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        if value.len() > 65536 {
            return Err(Errno::E2BIG);
        }
        let client = self.tree.client.extended()?;
        let flags = u32::from(flags.create) | (u32::from(flags.replace) << 1);
        let (fid, name, value) = (self.fid(cx.fiber)?, text(name)?, p9::Data(value.to_vec()));
        client.call(cx.fiber, p9::Tsetxattrx { fid, name, value, flags })?;
        self.changed();
        Ok(())
    }

    fn list_xattr(&self, cx: &Ctx<'_>) -> Result<Vec<Vec<u8>>, Errno> {
        let client = self.tree.client.extended()?;
        let ask = p9::Tlistxattrx { fid: self.fid(cx.fiber)? };
        let (answer, _) = answer_as!(client.call(cx.fiber, ask)?, Listxattrx)?;
        Ok(answer.names.into_iter().map(p9::Str::into_bytes).collect())
    }

    fn remove_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<(), Errno> {
        let client = self.tree.client.extended()?;
        let ask = p9::Tremovexattrx { fid: self.fid(cx.fiber)?, name: text(name)? };
        client.call(cx.fiber, ask)?;
        self.changed();
        Ok(())
    }

    fn cacheable(&self) -> bool {
        self.tree.is_exclusive()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Node {
    /// Takes the directories out that it names.
    fn above(&mut self) -> Vec<Arc<Self>> {
        let place = self.place.get_mut().take().map(|(dir, _)| dir);
        let bound = Fid::Bound(NOFID);
        let fid = match std::mem::replace(self.fid.get_mut(), bound) {
            Fid::Named(dir, _) => Some(dir),
            Fid::Bound(fid) => {
                *self.fid.get_mut() = Fid::Bound(fid);
                None
            }
        };
        place.into_iter().chain(fid).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let removed = self.state.get_mut().metadata.nlink == 0 || self.state.get_mut().stale;
        let fid = match self.fid.get_mut() {
            Fid::Bound(fid) => *fid,
            Fid::Named(..) => NOFID,
        };
        self.tree.client.forget(fid, removed && self.kind == S_IFREG);
        self.tree.dropped(self.ino);
        state::drop_linked(self.above(), Self::above);
    }
}
