//! Changes of where directories are: rename(2), rmdir(2).

use std::sync::Arc;

use abi::Errno;
use sched::MutexGuard;
use vfs::{Name, RenameFlags};

use super::{directory::Entries, inode::Node};

/// The entries of the one or two directories of a rename, locked.
struct Both<'a> {
    from: MutexGuard<'a, Entries>,
    /// `None`: the same directory.
    to: Option<MutexGuard<'a, Entries>>,
}

impl Both<'_> {
    fn to(&mut self) -> &mut Entries {
        self.to.as_deref_mut().unwrap_or(&mut self.from)
    }
}

impl Node {
    /// rmdir(2).
    pub(super) fn remove_directory(&self, name: &Name) -> Result<(), Errno> {
        let _alone = self.fs().renames.lock();
        let mut entries = self.directory()?.lock();
        let victim = entries.get(name).cloned().ok_or(Errno::ENOENT)?;
        victim.retire()?;
        entries.remove(name);
        let mut attributes = self.attributes.lock();
        attributes.entries_changed();
        attributes.remove_link();
        Ok(())
    }

    /// Marks an empty directory as removed.
    fn retire(&self) -> Result<(), Errno> {
        let mut inside = self.directory()?.lock();
        if !inside.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        inside.removed = true;
        self.attributes.lock().nlink = 0;
        Ok(())
    }

    /// True if this directory is `other` or lies below it.
    fn is_below(self: &Arc<Self>, other: &Self) -> bool {
        let mut here = Some(self.clone());
        while let Some(node) = here {
            if node.ino() == other.ino() {
                return true;
            }
            here = node.directory().ok().and_then(|directory| directory.parent());
        }
        false
    }

    fn lock_both<'a>(&'a self, other: &'a Self) -> Result<Both<'a>, Errno> {
        let (mine, theirs) = (self.directory()?, other.directory()?);
        Ok(match self.ino().cmp(&other.ino()) {
            std::cmp::Ordering::Equal => Both { from: mine.lock(), to: None },
            std::cmp::Ordering::Less => {
                let from = mine.lock();
                Both { from, to: Some(theirs.lock()) }
            }
            std::cmp::Ordering::Greater => {
                let to = theirs.lock();
                Both { from: mine.lock(), to: Some(to) }
            }
        })
    }

    /// renameat2(2).
    pub(super) fn rename_entry(
        &self,
        from: &Name,
        to_dir: &Self,
        to: &Name,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _alone = self.fs().renames.lock();
        let (from_here, to_here) = (self.directory()?.me(), to_dir.directory()?.me());
        let (Some(from_here), Some(to_here)) = (from_here, to_here) else {
            return Err(Errno::ENOENT);
        };
        let moving = from_here.child(from)?.ok_or(Errno::ENOENT)?;
        if moving.is_dir() && to_here.is_below(&moving) {
            return Err(Errno::EINVAL);
        }
        if flags.exchange {
            let target = to_here.child(to)?.ok_or(Errno::ENOENT)?;
            if target.is_dir() && from_here.is_below(&target) {
                return Err(Errno::EINVAL);
            }
            return self.exchange((from, moving), to_dir, (to, target));
        }
        self.replace((from, &moving), (to_dir, &to_here), to, flags.no_replace)
    }

    fn child(&self, name: &Name) -> Result<Option<Arc<Self>>, Errno> {
        Ok(self.directory()?.lock().get(name).cloned())
    }

    /// Moves `moving` to the name `to`, over what may be there.
    fn replace(
        &self,
        (from, moving): (&Name, &Arc<Self>),
        (to_dir, to_here): (&Self, &Arc<Self>),
        to: &Name,
        no_replace: bool,
    ) -> Result<(), Errno> {
        let mut both = self.lock_both(to_dir)?;
        if both.from.get(from).is_none_or(|now| !Arc::ptr_eq(now, moving)) || both.to().removed {
            return Err(Errno::ENOENT);
        }
        let target = both.to().get(to).cloned();
        if let Some(target) = &target {
            if no_replace {
                return Err(Errno::EEXIST);
            }
            if Arc::ptr_eq(target, moving) {
                return Ok(());
            }
            match (moving.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => target.retire()?,
                (false, false) => {}
            }
        }
        both.from.remove(from);
        both.to().insert(to, moving.clone());
        drop(both);
        if moving.is_dir() {
            moving.moved_to(to_here);
            self.attributes.lock().remove_link();
            to_dir.attributes.lock().add_link()?;
        }
        match target {
            Some(target) if target.is_dir() => to_dir.attributes.lock().remove_link(),
            Some(target) => target.lost_name(),
            None => {}
        }
        self.note_rename(to_dir, &[moving]);
        Ok(())
    }

    /// Exchanges two entries.
    fn exchange(
        &self,
        (from, moving): (&Name, Arc<Self>),
        to_dir: &Self,
        (to, target): (&Name, Arc<Self>),
    ) -> Result<(), Errno> {
        let mut both = self.lock_both(to_dir)?;
        let still = |now: Option<&Arc<Self>>, then: &Arc<Self>| {
            now.is_some_and(|now| Arc::ptr_eq(now, then))
        };
        if !still(both.from.get(from), &moving) || !still(both.to().get(to), &target) {
            return Err(Errno::ENOENT);
        }
        let out = both.from.replace(from, target.clone());
        let back = both.to().replace(to, moving.clone());
        let (here, there) = (both.from.me.upgrade(), both.to().me.upgrade());
        drop(both);
        drop((out, back));
        for (node, place, left, entered) in
            [(&moving, there, self, to_dir), (&target, here, to_dir, self)]
        {
            if let (true, Some(place)) = (node.is_dir(), place) {
                node.moved_to(&place);
                left.attributes.lock().remove_link();
                entered.attributes.lock().add_link()?;
            }
        }
        self.note_rename(to_dir, &[&moving, &target]);
        Ok(())
    }

    fn moved_to(&self, parent: &Arc<Self>) {
        if let Ok(directory) = self.directory() {
            directory.lock().parent = Some(Arc::downgrade(parent));
        }
    }

    fn note_rename(&self, to_dir: &Self, moved: &[&Arc<Self>]) {
        self.attributes.lock().entries_changed();
        to_dir.attributes.lock().entries_changed();
        for node in moved {
            node.attributes.lock().changed();
        }
    }
}
