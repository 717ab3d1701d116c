//! What is ready to run on an executor.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crate::{Entity, Mutex};

/// Something to run.
#[derive(Debug)]
pub(crate) enum Item {
    /// A fiber of this executor, by slot: it has a stack, so it can run nowhere else.
    Resume(usize),
    /// An entity at the user boundary, without a stack.
    Fresh {
        entity: Arc<Entity>,
        /// It was sent here on purpose, so others do not take it away.
        sticky: bool,
    },
}

/// First in, first out.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    items: Mutex<VecDeque<Item>>,
    /// Of `items`, to be read without the lock.
    len: AtomicUsize,
}

impl RunQueue {
    pub(crate) fn push(&self, item: Item) {
        let mut items = self.items.lock();
        items.push_back(item);
        self.len.store(items.len(), SeqCst);
    }

    pub(crate) fn pop(&self) -> Option<Item> {
        if self.is_empty() {
            return None;
        }
        let mut items = self.items.lock();
        let item = items.pop_front();
        self.len.store(items.len(), SeqCst);
        item
    }

    /// Takes the first entity that may run elsewhere, if nobody else is at the queue now.
    pub(crate) fn steal(&self) -> Option<Arc<Entity>> {
        if self.is_empty() {
            return None;
        }
        let mut items = self.items.try_lock()?;
        let at = items.iter().position(|item| matches!(item, Item::Fresh { sticky: false, .. }))?;
        let item = items.remove(at);
        self.len.store(items.len(), SeqCst);
        match item {
            Some(Item::Fresh { entity, .. }) => Some(entity),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn fibers_stay_where_their_stack_is() {
        let queue = RunQueue::default();
        queue.push(Item::Resume(3));
        queue.push(Item::Resume(4));
        assert!(queue.steal().is_none());
        assert_eq!(queue.len(), 2);
        assert!(matches!(queue.pop(), Some(Item::Resume(3))));
        assert!(matches!(queue.pop(), Some(Item::Resume(4))));
        assert!(queue.pop().is_none());
    }
}
