//! Making and removing entries.

use std::sync::Arc;

use abi::{
    Errno,
    fs::mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK},
};
use vfs::{Ctx, Inode, Name, NewNode, RenameFlags, SetAttr};

use super::inode::Node;
use crate::base::Ownership;

fn kind_of(node: &NewNode<'_>) -> u32 {
    match node {
        NewNode::File => S_IFREG,
        NewNode::Dir => S_IFDIR,
        NewNode::Symlink(_) => S_IFLNK,
        NewNode::CharDevice(_) => S_IFCHR,
        NewNode::BlockDevice(_) => S_IFBLK,
        NewNode::Fifo => S_IFIFO,
        NewNode::Socket => S_IFSOCK,
    }
}

impl Node {
    /// Checks that `name` can be made here (with `changes` held); true if a whiteout is in its
    /// place.
    fn check_free(&self, cx: &Ctx<'_>, dir: &Arc<dyn Inode>, name: &Name) -> Result<bool, Errno> {
        if self.state.lock().removed {
            return Err(Errno::ENOENT);
        }
        match Self::lookup_in(cx, Some(dir), name)? {
            Some(upper) if self.fs.is_whiteout(cx, &*upper)? => Ok(true),
            Some(_) => Err(Errno::EEXIST),
            None if self.lower_has(cx, name)? => Err(Errno::EEXIST),
            None => Ok(false),
        }
    }

    pub(super) fn create_entry(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        new: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<Self>, Errno> {
        if matches!(new, NewNode::CharDevice(0)) {
            // It would hide itself.
            return Err(Errno::EPERM);
        }
        let dir = self.copy_up(cx, None)?;
        let _alone = self.changes.lock(cx.fiber);
        let upper = match self.check_free(cx, &dir, name)? {
            false => dir.create(cx, name, new, mode)?,
            true => self.create_over_whiteout(cx, (&dir, name), new, mode)?,
        };
        let node = self.node_of_upper(cx, upper)?;
        self.enter(name, &node);
        Ok(node)
    }

    /// Makes it in the work directory and puts it in the place of the whiteout in one step.
    fn create_over_whiteout(
        &self,
        caller: &Ctx<'_>,
        (dir, name): (&Arc<dyn Inode>, &Name),
        new: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let (cx, temp, kind) = (&self.fs.own(caller), self.fs.temp()?, kind_of(&new));
        let place = dir.metadata(cx)?;
        let ownership = Ownership::of_new(caller, kind, mode, Some((place.mode, place.gid)));
        let made = self.fs.work.create(cx, &temp, new, mode)?;
        let (uid, gid) = (Some(ownership.uid), Some(ownership.gid));
        let mode = (kind != S_IFLNK).then_some(ownership.mode & 0o7777);
        made.set_attr(cx, &SetAttr { mode, uid, gid, ..SetAttr::default() })?;
        if kind == S_IFDIR {
            // It hides a directory of the lower tree, if that is what was removed.
            self.fs.set_opaque(cx, &*made)?;
        }
        self.show(cx, &temp, kind == S_IFDIR, (dir, name))?;
        Ok(made)
    }

    /// Moves what is ready in the work directory over a whiteout.
    fn show(
        &self,
        cx: &Ctx<'_>,
        temp: &Name,
        is_dir: bool,
        (dir, name): (&Arc<dyn Inode>, &Name),
    ) -> Result<(), Errno> {
        let flags = RenameFlags { exchange: is_dir, ..RenameFlags::default() };
        self.fs.work.rename(cx, temp, dir, name, flags)?;
        // A directory can't be moved over what is none: they changed places.
        if is_dir { self.fs.work.unlink(cx, temp) } else { Ok(()) }
    }

    pub(super) fn link_entry(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        target: &Arc<Self>,
    ) -> Result<(), Errno> {
        let (upper, dir) = (target.copy_up(cx, None)?, self.copy_up(cx, None)?);
        let _alone = self.changes.lock(cx.fiber);
        if self.check_free(cx, &dir, name)? {
            let (cx, temp) = (&self.fs.own(cx), self.fs.temp()?);
            self.fs.work.link(cx, &temp, &upper)?;
            self.show(cx, &temp, false, (&dir, name))?;
        } else {
            dir.link(cx, name, &upper)?;
        }
        self.enter(name, target);
        Ok(())
    }

    pub(super) fn remove_entry(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        is_dir: bool,
    ) -> Result<(), Errno> {
        let node = self.find(cx, name)?;
        match (is_dir, node.is_dir()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            _ => {}
        }
        let cx = &self.fs.own(cx);
        let dir = self.copy_up(cx, None)?;
        let _alone = self.changes.lock(cx.fiber);
        if !self.is_entry(name, &node) {
            return Err(Errno::ENOENT);
        }
        let _inside = is_dir.then(|| node.changes.lock(cx.fiber));
        if is_dir && !node.entries(cx)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.hide(cx, (&dir, name), &node)?;
        node.state.lock().removed = true;
        self.leave(name);
        Ok(())
    }

    /// Takes an entry out of the upper tree, and hides the one of the lower tree.
    fn hide(
        &self,
        cx: &Ctx<'_>,
        (dir, name): (&Arc<dyn Inode>, &Name),
        node: &Arc<Self>,
    ) -> Result<(), Errno> {
        let lower_has = self.lower_has(cx, name)?;
        match (node.upper(), lower_has) {
            (None, _) => dir.create(cx, name, NewNode::CharDevice(0), 0).map(drop),
            (Some(upper), true) => {
                let temp = self.fs.white_out(cx, dir, name)?;
                self.discard(cx, &self.fs.work, &temp, node, &upper)
            }
            (Some(upper), false) => self.discard(cx, dir, name, node, &upper),
        }
    }

    fn discard(
        &self,
        cx: &Ctx<'_>,
        dir: &Arc<dyn Inode>,
        name: &Name,
        node: &Arc<Self>,
        upper: &Arc<dyn Inode>,
    ) -> Result<(), Errno> {
        if !node.is_dir() {
            return dir.unlink(cx, name);
        }
        node.clear_whiteouts(cx, upper)?;
        dir.rmdir(cx, name)
    }
}
