//! Entries of directories: what shows of both trees.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
};

use abi::{
    Errno,
    fs::{
        dirent_type,
        mode::{S_IFCHR, S_IFDIR},
        open::O_DIRECTORY,
    },
};
use vfs::{Ctx, DirEntry, DirSink, Inode, Name};

use super::inode::{Node, Parts};
use crate::base::{Listed, Listing};

/// Entries that are taken from a tree at once.
const BATCH: usize = 1024;
/// How often a look-up that raced with changes is tried again.
const TRIES: usize = 16;

/// Takes entries, without `.` and `..`.
#[derive(Default)]
struct Taken(Vec<Listed>, usize);

impl DirSink for Taken {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.1 == BATCH {
            return false;
        }
        self.1 += 1;
        // `.` and `..` are no names.
        if let Ok(name) = Name::new(entry.name) {
            self.0.push((name, (entry.ino, entry.kind)));
        }
        true
    }
}

/// All entries of a directory of one tree.
fn all_entries(cx: &Ctx<'_>, dir: &Arc<dyn Inode>, node: &Node) -> Result<Vec<Listed>, Errno> {
    let file = Arc::clone(dir).open(cx, O_DIRECTORY)?;
    let (mut taken, mut cursor) = (Taken::default(), 0);
    let charge = node.fs.shared.charge();
    loop {
        taken.1 = 0;
        cursor = file.read_dir(cx, cursor, &mut taken)?;
        if taken.1 < BATCH {
            return Ok(taken.0);
        }
        if charge.usage().total >= charge.limit() {
            return Err(Errno::ENOMEM);
        }
    }
}

impl Node {
    /// The entry, if anybody has it, and the version of the entries.
    fn live(&self, name: &Name) -> (Option<Arc<Self>>, u64) {
        let state = self.state.lock();
        (state.children.get(name).and_then(Weak::upgrade), state.version)
    }

    /// Finds an entry.
    pub(super) fn find(&self, cx: &Ctx<'_>, name: &Name) -> Result<Arc<Self>, Errno> {
        if !self.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mut found = None;
        for _ in 0..TRIES {
            let (live, version) = self.live(name);
            if let Some(live) = live {
                return Ok(live);
            }
            let node = self.look(cx, name)?;
            if let Some(known) = self.remember(name, &node, Some(version)) {
                return Ok(known);
            }
            found = Some(node);
        }
        found.ok_or(Errno::ENOENT)
    }

    /// Remembers an entry; returns it, or the one that somebody else remembered before. `None`
    /// if the entries have changed since `version`.
    fn remember(&self, name: &Name, node: &Arc<Self>, version: Option<u64>) -> Option<Arc<Self>> {
        let mut state = self.state.lock();
        if version.is_some_and(|version| version != state.version) {
            return None;
        }
        if version.is_some()
            && let Some(known) = state.children.get(name).and_then(Weak::upgrade)
        {
            return Some(known);
        }
        if state.children.len() >= state.sweep_at {
            state.children.retain(|_, child| child.strong_count() > 0);
            state.sweep_at = 64.max(2 * state.children.len());
        }
        state.children.insert(name.clone(), Arc::downgrade(node));
        drop(state);
        node.parent_ino.store(self.ino, Ordering::Relaxed);
        Some(Arc::clone(node))
    }

    /// An entry is there now.
    pub(super) fn enter(&self, name: &Name, node: &Arc<Self>) {
        self.state.lock().version += 1;
        self.remember(name, node, None);
    }

    /// An entry is there no longer.
    pub(super) fn leave(&self, name: &Name) {
        let mut state = self.state.lock();
        state.version += 1;
        state.children.remove(name);
    }

    /// Is this still the entry of that name? Asked with `changes` held.
    pub(super) fn is_entry(&self, name: &Name, node: &Arc<Self>) -> bool {
        let state = self.state.lock();
        let now = state.children.get(name).map(Weak::as_ptr);
        now.is_some_and(|now| std::ptr::eq(now, Arc::as_ptr(node)))
    }

    /// The entry of one tree, if there is one.
    pub(super) fn lookup_in(
        cx: &Ctx<'_>,
        dir: Option<&Arc<dyn Inode>>,
        name: &Name,
    ) -> Result<Option<Arc<dyn Inode>>, Errno> {
        match dir.map(|dir| dir.lookup(cx, name)) {
            None | Some(Err(Errno::ENOENT)) => Ok(None),
            Some(found) => found.map(Some),
        }
    }

    /// True if the lower tree has the name, so that its absence needs a whiteout.
    pub(super) fn lower_has(&self, cx: &Ctx<'_>, name: &Name) -> Result<bool, Errno> {
        Ok(Self::lookup_in(cx, self.lower.as_ref(), name)?.is_some())
    }

    /// Finds an entry in both trees.
    fn look(&self, cx: &Ctx<'_>, name: &Name) -> Result<Arc<Self>, Errno> {
        let upper = Self::lookup_in(cx, self.upper().as_ref(), name)?;
        let lower = || Self::lookup_in(cx, self.lower.as_ref(), name);
        let Some(upper) = upper else {
            let lower = lower()?.ok_or(Errno::ENOENT)?;
            let meta = lower.metadata(cx)?;
            let parts = Parts { ino: meta.ino, meta, upper: None, lower: Some(lower) };
            return Ok(Self::new(&self.fs, parts, Some((self.me()?, name.clone()))));
        };
        if self.fs.is_whiteout(cx, &*upper)? {
            return Err(Errno::ENOENT);
        }
        let meta = upper.metadata(cx)?;
        if !meta.is_dir() || self.lower.is_none() || self.fs.is_opaque(cx, &*upper)? {
            return self.node_of_upper(cx, upper);
        }
        match lower()? {
            Some(lower) if lower.metadata(cx)?.is_dir() => {
                let ino = lower.metadata(cx)?.ino;
                let parts = Parts { ino, meta, upper: Some(upper), lower: Some(lower) };
                Ok(Self::new(&self.fs, parts, None))
            }
            _ => self.node_of_upper(cx, upper),
        }
    }

    /// The node of what is in the upper tree only.
    pub(super) fn node_of_upper(
        &self,
        cx: &Ctx<'_>,
        upper: Arc<dyn Inode>,
    ) -> Result<Arc<Self>, Errno> {
        let (meta, ino) = (upper.metadata(cx)?, self.fs.ino_of_upper(cx, &*upper)?);
        let node = Self::new(&self.fs, Parts { ino, meta, upper: Some(upper), lower: None }, None);
        if meta.is_dir() { Ok(node) } else { Ok(self.fs.share_upper(meta.ino, node)) }
    }

    /// All entries that show.
    pub(super) fn entries(&self, cx: &Ctx<'_>) -> Result<Vec<Listed>, Errno> {
        let lower = match &self.lower {
            Some(lower) => all_entries(cx, lower, self)?,
            None => Vec::new(),
        };
        let Some(upper) = self.upper() else { return Ok(lower) };
        let mut shown = Vec::new();
        let mut below: BTreeMap<Name, (u64, u8)> = lower.into_iter().collect();
        for (name, (_, kind)) in all_entries(cx, &upper, self)? {
            let hidden = below.remove(&name);
            let Some(inode) = Self::lookup_in(cx, Some(&upper), &name)? else { continue };
            if kind == dirent_type(S_IFCHR) && self.fs.is_whiteout(cx, &*inode)? {
                continue;
            }
            let dir = dirent_type(S_IFDIR);
            let ino = match hidden {
                Some((ino, below)) if (kind, below) == (dir, dir) => {
                    if self.fs.is_opaque(cx, &*inode)? {
                        self.fs.ino_of_upper(cx, &*inode)?
                    } else {
                        ino
                    }
                }
                _ => self.fs.ino_of_upper(cx, &*inode)?,
            };
            shown.push((name, (ino, kind)));
        }
        shown.extend(below);
        Ok(shown)
    }

    pub(super) fn listing(&self, cx: &Ctx<'_>) -> Result<Arc<Listing>, Errno> {
        Listing::new(self.entries(cx)?, self.fs.shared.charge())
    }

    /// Removes the whiteouts of a directory that shows nothing, from its upper side.
    pub(super) fn clear_whiteouts(
        &self,
        cx: &Ctx<'_>,
        upper: &Arc<dyn Inode>,
    ) -> Result<(), Errno> {
        for (name, _) in all_entries(cx, upper, self)? {
            upper.unlink(cx, &name)?;
        }
        Ok(())
    }
}
