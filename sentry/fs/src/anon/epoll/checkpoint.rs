//! Saving and loading: an item is known by an address and listens at its file, both of which
//! change.

use std::sync::{Arc, Weak};

use sched::{Mutex, WaitQueue};
use state::{Load, Reader, Result, Save, Schema, Writer, print};
use vfs::OpenFile;

use super::{Epoll, FIRST_SWEEP, Interest, Items, item::Item, item::Key};

/// An item, as it is saved.
#[derive(state::Save, state::Load)]
pub(super) struct Saved {
    pub(super) fd: i32,
    pub(super) file: Weak<OpenFile>,
    pub(super) interest: Interest,
    pub(super) disabled: bool,
    /// It may be ready.
    pub(super) queued: bool,
}

impl Schema for Epoll {
    const NAME: &'static str = "Epoll";
}

impl Save for Epoll {
    const PRINT: u64 = print::mix(print::text("shared, inode; me, items"), Saved::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        self.shared.save(w)?;
        self.inode.save(w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        let items = self.items.try_lock().ok_or_else(state::lock_is_held)?;
        items.me.save(w)?;
        items.watchers.save(w)?;
        let saved: Vec<Saved> = items.by_key.values().map(|item| item.saved()).collect();
        saved.save(w)
    }
}

impl Load for Epoll {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let items = Items {
            me: Weak::new(),
            by_key: std::collections::BTreeMap::new(),
            sweep_at: FIRST_SWEEP,
            watchers: Vec::new(),
        };
        Ok(Self {
            shared: Load::load(r)?,
            items: Mutex::new(items),
            ready: Mutex::default(),
            queue: WaitQueue::new(),
            inode: Load::load(r)?,
            _live: state::live::Live::new(),
        })
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        let me: Weak<Self> = Load::load(r)?;
        let watchers = Load::load(r)?;
        let saved = <Vec<Saved>>::load(r)?;
        let mut items = self.items.lock();
        items.me = me.clone();
        items.watchers = watchers;
        for one in saved {
            // One whose file is closed would be swept out in any case.
            let Some(file) = one.file.upgrade() else { continue };
            let Some(queue) = file.file().wait_queue() else { continue };
            let key = Key::new(one.fd, &file);
            let item = Item::new(&me, key, &file, one.interest);
            if one.disabled {
                item.disable();
            }
            queue.add(item.listener());
            if one.queued {
                self.enqueue(&item);
            }
            items.by_key.insert(key, Arc::clone(&item));
        }
        Ok(())
    }
}
