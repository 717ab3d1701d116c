//! Entries of a directory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use abi::{Errno, fs::dirent_type};
use sched::{Mutex, MutexGuard};
use vfs::{DirEntry, DirSink, Name};

use super::inode::Node;

/// Cursor of the first entry after `.` and `..`.
const FIRST_PLACE: u64 = 2;
/// Cursors must be positive as an offset (lseek(2)).
const PLACES_END: u64 = i64::MAX.cast_unsigned();
/// Entries that are copied out under one hold of the lock.
const BATCH: usize = 64;

/// The entries of a directory.
#[derive(Debug, state::Save, state::Load)]
pub(super) struct Directory(Mutex<Entries>);

/// What the lock of a directory guards.
///
/// Each entry has a place, by which readers find where they were. Places of newer entries are
/// smaller: a reader never meets what came after it, so a listing ends whatever others do.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct Entries {
    by_name: BTreeMap<Name, Entry>,
    by_place: BTreeMap<u64, Name>,
    next_place: u64,
    /// The directory itself.
    pub(super) me: Weak<Node>,
    /// `None` for a root.
    pub(super) parent: Option<Weak<Node>>,
    /// It was removed: nothing can be made in it any more.
    pub(super) removed: bool,
}

#[derive(Debug, state::Save, state::Load)]
struct Entry {
    place: u64,
    node: Arc<Node>,
}

impl Directory {
    pub(super) fn new(parent: Option<&Arc<Node>>) -> Self {
        Self(Mutex::new(Entries {
            by_name: BTreeMap::new(),
            by_place: BTreeMap::new(),
            next_place: PLACES_END - 1,
            me: Weak::new(),
            parent: parent.map(Arc::downgrade),
            removed: false,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }

    /// The directory that it is in, while that is there.
    pub(super) fn parent(&self) -> Option<Arc<Node>> {
        self.lock().parent.as_ref().and_then(Weak::upgrade)
    }

    /// The directory itself, if anybody has it.
    pub(super) fn me(&self) -> Option<Arc<Node>> {
        self.lock().me.upgrade()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> u64 {
        self.lock().by_name.len() as u64
    }

    /// Takes all children out, of a directory that nobody has any more.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Arc<Node>> + use<> {
        let entries = self.0.get_mut();
        entries.by_place.clear();
        std::mem::take(&mut entries.by_name).into_values().map(|entry| entry.node)
    }

    /// getdents64(2) for the directory `me`, from `cursor` on; returns the next cursor.
    pub(super) fn list(
        &self,
        me: &Node,
        mut cursor: u64,
        sink: &mut dyn DirSink,
    ) -> Result<u64, Errno> {
        while cursor < FIRST_PLACE {
            let up = if cursor == 1 { self.parent() } else { None };
            let (name, ino): (&[u8], _) = match cursor {
                0 => (b".", me.ino()),
                _ => (b"..", up.map_or(me.ino(), |parent| parent.ino())),
            };
            let kind = dirent_type(abi::fs::mode::S_IFDIR);
            if !sink.add(DirEntry { ino, next: cursor + 1, kind, name }) {
                return Ok(cursor);
            }
            cursor += 1;
        }
        loop {
            let batch = self.lock().batch(cursor);
            for (place, name, ino, kind) in &batch {
                let entry =
                    DirEntry { ino: *ino, next: place + 1, kind: *kind, name: name.as_bytes() };
                if !sink.add(entry) {
                    return Ok(cursor);
                }
                cursor = place + 1;
            }
            if batch.len() < BATCH {
                return Ok(cursor);
            }
        }
    }
}

impl Entries {
    fn batch(&self, cursor: u64) -> Vec<(u64, Name, u64, u8)> {
        let found = self.by_place.range(cursor..).take(BATCH);
        found
            .filter_map(|(place, name)| {
                let node = &self.by_name.get(name)?.node;
                Some((*place, name.clone(), node.ino(), node.dirent_kind()))
            })
            .collect()
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Arc<Node>> {
        self.by_name.get(name).map(|entry| &entry.node)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Checks that `name` can be made here.
    pub(super) fn check_free(&self, name: &Name) -> Result<(), Errno> {
        match self.by_name.contains_key(name) {
            true => Err(Errno::EEXIST),
            false if self.removed => Err(Errno::ENOENT),
            false => Ok(()),
        }
    }

    /// Puts an entry in; returns the one that was there.
    pub(super) fn insert(&mut self, name: &Name, node: Arc<Node>) -> Option<Arc<Node>> {
        let place = self.next_place;
        self.next_place = place.saturating_sub(1).max(FIRST_PLACE);
        self.by_place.insert(place, name.clone());
        let old = self.by_name.insert(name.clone(), Entry { place, node })?;
        self.by_place.remove(&old.place);
        Some(old.node)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, name: &Name) -> Option<Arc<Node>> {
        let entry = self.by_name.remove(name)?;
        self.by_place.remove(&entry.place);
        Some(entry.node)
    }

    /// Puts another node under a name that is there; returns the old one. The place stays.
    pub(super) fn replace(&mut self, name: &Name, node: Arc<Node>) -> Option<Arc<Node>> {
        self.by_name.get_mut(name).map(|entry| std::mem::replace(&mut entry.node, node))
    }
}
