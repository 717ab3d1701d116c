//! Inodes that were used lately stay known.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sched::Mutex;

use super::inode::Node;

/// When an inode was last used; 0: it is not in the list.
#[derive(Debug, Default)]
pub(super) struct Stamp(AtomicU64);

/// The inodes that were used last, in about that order: one that has a recent stamp keeps it.
#[derive(Debug, state::Save, state::Load)]
pub(super) struct Recent {
    #[state(skip)]
    by_stamp: Mutex<BTreeMap<u64, Arc<Node>>>,
    #[state(skip)]
    last: AtomicU64,
    capacity: usize,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self { by_stamp: Mutex::default(), last: AtomicU64::new(0), capacity }
    }

    /// An inode is used.
    pub(super) fn touch(&self, node: &Arc<Node>) {
        let old = node.stamp.0.load(Ordering::Relaxed);
        let last = self.last.load(Ordering::Relaxed);
        if old != 0 && last - old < self.capacity as u64 / 4 {
            return;
        }
        let dropped = {
            let mut by_stamp = self.by_stamp.lock();
            let new = self.last.fetch_add(1, Ordering::Relaxed) + 1;
            let old = node.stamp.0.swap(new, Ordering::Relaxed);
            let mut dropped = vec![by_stamp.remove(&old), by_stamp.insert(new, Arc::clone(node))];
            if by_stamp.len() > self.capacity
                && let Some((_, oldest)) = by_stamp.pop_first()
            {
                oldest.stamp.0.store(0, Ordering::Relaxed);
                dropped.push(Some(oldest));
            }
            dropped
        };
        // The last holder tells the Gofer: not under the lock.
        drop(dropped);
    }

    /// Forgets an inode that is removed.
    pub(super) fn forget(&self, node: &Node) {
        let stamp = node.stamp.0.swap(0, Ordering::Relaxed);
        let dropped = self.by_stamp.lock().remove(&stamp);
        drop(dropped);
    }

    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.by_stamp.lock());
        for node in all.values() {
            node.stamp.0.store(0, Ordering::Relaxed);
        }
        drop(all);
    }
}
