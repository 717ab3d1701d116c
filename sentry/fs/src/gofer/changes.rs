//! What changes the entries of directories.

use std::sync::{Arc, atomic::Ordering};

use abi::{
    Errno,
    fs::{
        dev_major, dev_minor,
        mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK},
    },
};
use sched::Fiber;
use vfs::{Ctx, Name, NewNode, RenameFlags, SleepGuard};

use super::{
    client::{NewFile, NewSpecial},
    inode::{Fid, Node},
};
use crate::base::Ownership;

/// `RENAME_NOREPLACE` (renameat2(2)).
const NOREPLACE: u32 = 1;
/// `RENAME_EXCHANGE` (renameat2(2)).
const EXCHANGE: u32 = 2;

impl Node {
    /// Owner and mode of what the caller makes here.
    fn ownership(&self, cx: &Ctx<'_>, kind: u32, mode: u32) -> Result<Ownership, Errno> {
        let dir = self.metadata_now(cx.fiber)?;
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Ownership::of_new(cx, kind, mode, Some((dir.mode, dir.gid))))
    }

    /// Makes a regular file and keeps it open: who makes one opens it.
    pub(super) fn create_file(
        &self,
        cx: &Ctx<'_>,
        name: Option<&Name>,
        mode: u32,
    ) -> Result<Arc<Self>, Errno> {
        let Ownership { uid, gid, mode } = self.ownership(cx, S_IFREG, mode)?;
        let new = NewFile { dir: self, name, mode: mode & 0o7777, uid, gid };
        let asked = host::clock::monotonic_ns();
        let (attr, fid, opened) = self.tree.client.create(cx.fiber, new)?;
        let node = self.tree.node(&attr, Fid::Bound(fid), asked);
        if let Some(opened) = opened {
            node.keep_open(opened, true, true);
        }
        Ok(node)
    }

    fn make(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        (what, kind, mode): (NewSpecial<'_>, u32, u32),
    ) -> Result<Arc<Self>, Errno> {
        let Ownership { uid, gid, mode } = self.ownership(cx, kind, mode)?;
        let new = NewFile { dir: self, name: Some(name), mode: mode & 0o7777, uid, gid };
        let asked = host::clock::monotonic_ns();
        let (attr, fid) = self.tree.client.make(cx.fiber, new, what)?;
        Ok(self.tree.node(&attr, Fid::Bound(fid), asked))
    }

    /// Makes an entry.
    pub(super) fn create_entry(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<Self>, Errno> {
        let _alone = self.change(cx.fiber);
        let special = |kind, rdev| {
            let what = NewSpecial::Node(kind, dev_major(rdev), dev_minor(rdev));
            self.make(cx, name, (what, kind, mode))
        };
        let made = match node {
            NewNode::File => self.create_file(cx, Some(name), mode),
            NewNode::Dir => self.make(cx, name, (NewSpecial::Dir, S_IFDIR, mode)),
            NewNode::Symlink(target) => {
                self.make(cx, name, (NewSpecial::Symlink(target), S_IFLNK, mode))
            }
            NewNode::CharDevice(rdev) => special(S_IFCHR, rdev),
            NewNode::BlockDevice(rdev) => special(S_IFBLK, rdev),
            NewNode::Fifo => special(S_IFIFO, 0),
            NewNode::Socket => special(S_IFSOCK, 0),
        }?;
        self.entered(name, &made);
        Ok(made)
    }

    /// Waits for other changes of this directory, and lets answers that are under way count for
    /// nothing.
    fn change(&self, fiber: &Fiber<'_>) -> SleepGuard<'_> {
        let alone = self.changes.lock(fiber);
        self.names.lock().version += 1;
        alone
    }

    fn entered(&self, name: &Name, node: &Arc<Self>) {
        node.parent_ino.store(self.ino(), Ordering::Relaxed);
        let mut names = self.names.lock();
        names.version += 1;
        names.put(name, node, host::clock::monotonic_ns());
    }

    fn left(&self, name: &Name) {
        let mut names = self.names.lock();
        names.version += 1;
        names.put_absent(name, host::clock::monotonic_ns());
    }

    /// The inode of an entry, if anybody has it, known by more than its name, which is about to
    /// go.
    fn settled(&self, fiber: &Fiber<'_>, name: &Name) -> Result<Option<Arc<Self>>, Errno> {
        let live = self.names.lock().live(name);
        if let Some(node) = &live {
            node.fid(fiber)?;
        }
        Ok(live)
    }

    pub(super) fn link_entry(
        &self,
        fiber: &Fiber<'_>,
        name: &Name,
        target: &Arc<Self>,
    ) -> Result<(), Errno> {
        let _alone = self.change(fiber);
        self.tree.client.link(fiber, target.fid(fiber)?, (self, name))?;
        target.changed();
        self.entered(name, target);
        Ok(())
    }

    pub(super) fn remove_entry(
        &self,
        fiber: &Fiber<'_>,
        name: &Name,
        dir: bool,
    ) -> Result<(), Errno> {
        let _alone = self.change(fiber);
        let gone = self.settled(fiber, name)?;
        self.tree.client.unlink(fiber, (self, name), dir)?;
        self.left(name);
        if let Some(gone) = gone {
            gone.lost_name();
        }
        Ok(())
    }

    /// One of its names is gone: nobody needs to remember it for long.
    fn lost_name(&self) {
        self.changed();
        if self.is_dir() || self.last_known().nlink <= 1 {
            self.tree.recent.forget(self);
            self.close_when_idle();
        }
    }

    pub(super) fn rename_entry(
        &self,
        fiber: &Fiber<'_>,
        from: &Name,
        (to_dir, to): (&Arc<Self>, &Name),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _both = self.change_both(fiber, to_dir);
        let moving = self.settled(fiber, from)?;
        let target = to_dir.settled(fiber, to)?;
        let bits = if flags.no_replace { NOREPLACE } else { 0 }
            | if flags.exchange { EXCHANGE } else { 0 };
        self.tree.client.rename(fiber, (self, from), (to_dir, to), bits)?;
        match (flags.exchange, &target) {
            (true, Some(target)) => self.entered(from, target),
            (true, None) => self.unknown(from),
            (false, _) => self.left(from),
        }
        match &moving {
            Some(moving) => to_dir.entered(to, moving),
            None => to_dir.unknown(to),
        }
        if let Some(moving) = &moving {
            moving.changed();
        }
        match &target {
            Some(target) if flags.exchange => target.changed(),
            Some(target) => target.lost_name(),
            None => {}
        }
        Ok(())
    }

    fn unknown(&self, name: &Name) {
        let mut names = self.names.lock();
        names.version += 1;
        names.drop_name(name);
    }

    fn change_both<'a>(
        &'a self,
        fiber: &Fiber<'_>,
        other: &'a Self,
    ) -> (SleepGuard<'a>, Option<SleepGuard<'a>>) {
        match self.ino().cmp(&other.ino()) {
            std::cmp::Ordering::Equal => (self.change(fiber), None),
            std::cmp::Ordering::Less => (self.change(fiber), Some(other.change(fiber))),
            std::cmp::Ordering::Greater => (other.change(fiber), Some(self.change(fiber))),
        }
    }
}
