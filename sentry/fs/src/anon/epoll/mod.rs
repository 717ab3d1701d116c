//! Waiting for many files at once (epoll(7)).
//!
//! Lock order: `nesting` of the sandbox -> `items` -> `ready`; a watched file is never asked with
//! one of them held, and tells us of events with none of its own held.

mod checkpoint;
mod item;
mod nesting;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use abi::{
    Errno,
    fs::{
        open::{O_CLOEXEC, O_RDWR},
        poll::{POLLIN, POLLRDNORM},
    },
};
use mm::Kind;
use sched::{Mutex, WaitQueue, Wake};
use state::live::Live;
use vfs::{Ctx, File, Inode, OpenFile};

use crate::{Shared, base::AnonInode};
use item::{Item, Key};

/// `EPOLLET`: tell of changes only.
const EPOLLET: u32 = 1 << 31;
/// `EPOLLONESHOT`: tell once, then wait for a new interest.
const EPOLLONESHOT: u32 = 1 << 30;
/// `EPOLLWAKEUP`: about suspending the machine.
const EPOLLWAKEUP: u32 = 1 << 29;
/// `EPOLLEXCLUSIVE`: one of several epolls is enough; telling all is allowed.
const EPOLLEXCLUSIVE: u32 = 1 << 28;
/// What a watch costs, about.
const ITEM_BYTES: u64 = 384;
/// From so many watches on we look for those whose file is closed.
const FIRST_SWEEP: usize = 64;

/// What a caller wants to know of a file, and what to be told with it (`struct epoll_event`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub struct Interest {
    /// `EPOLL*` events and flags.
    pub events: u32,
    /// The caller's own.
    pub data: u64,
}

/// A set of watched files.
#[derive(Debug)]
pub struct Epoll {
    shared: Arc<Shared>,
    items: Mutex<Items>,
    /// Keys of items that may be ready, each once.
    ready: Mutex<VecDeque<Key>>,
    /// Who waits in `epoll_wait`, or watches this epoll.
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    _live: Live<Self>,
}

state::counted!(Epoll);

#[derive(Debug)]
struct Items {
    me: Weak<Epoll>,
    by_key: BTreeMap<Key, Arc<Item>>,
    sweep_at: usize,
    /// Epolls that watch this one.
    watchers: Vec<Weak<Epoll>>,
}

impl Epoll {
    /// `epoll_create1(2)`: makes an empty set. `EPOLL_CLOEXEC` is the caller's.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown flag.
    pub fn create(shared: &Arc<Shared>, flags: u32) -> Result<Arc<OpenFile>, Errno> {
        if flags & !O_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let file = Arc::new(Self {
            shared: Arc::clone(shared),
            items: Mutex::new(Items {
                me: Weak::new(),
                by_key: BTreeMap::new(),
                sweep_at: FIRST_SWEEP,
                watchers: Vec::new(),
            }),
            ready: Mutex::default(),
            queue: WaitQueue::new(),
            inode: Arc::clone(shared.anonymous_inode()),
            _live: Live::new(),
        });
        file.items.lock().me = Arc::downgrade(&file);
        Ok(OpenFile::new(file, None, O_RDWR))
    }

    /// `EPOLL_CTL_ADD`: watches `file`, which the caller calls `fd`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is watched already, `EPERM` if it can't be waited for, `ELOOP` for a circle
    /// of epolls or too many above one another, `EINVAL` for itself or a bad combination of
    /// flags, `ENOSPC` if there is no memory.
    pub fn add(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<(), Errno> {
        let queue = file.file().wait_queue().ok_or(Errno::EPERM)?;
        let nested = file.downcast::<Self>();
        if nested.is_some_and(|other| std::ptr::eq(other, self)) {
            return Err(Errno::EINVAL);
        }
        check_exclusive(interest.events, nested.is_some())?;
        let item = {
            let _alone = nested.map(|_| self.shared.nesting().lock());
            if let Some(other) = nested {
                self.check_nesting(other)?;
            }
            let item = self.insert(fd, file, interest)?;
            if let Some(other) = nested {
                let me = self.items.lock().me.clone();
                other.items.lock().watchers.push(me);
            }
            item
        };
        queue.add(item.listener());
        if !self.items.lock().by_key.contains_key(&item.key()) {
            // Somebody else deleted it already.
            item.unlisten();
        }
        self.look_at(&item, file);
        Ok(())
    }

    fn insert(
        &self,
        fd: i32,
        file: &Arc<OpenFile>,
        interest: Interest,
    ) -> Result<Arc<Item>, Errno> {
        self.sweep();
        let key = Key::new(fd, file);
        let mut items = self.items.lock();
        if items.by_key.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if !self.shared.charge().add(ITEM_BYTES, Kind::Kernel) {
            return Err(Errno::ENOSPC);
        }
        let item = Item::new(&items.me, key, file, interest);
        items.by_key.insert(key, item.clone());
        Ok(item)
    }

    /// `EPOLL_CTL_MOD`: changes the interest in a watched file.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched, `EINVAL` for `EPOLLEXCLUSIVE`.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<(), Errno> {
        let item = self.items.lock().by_key.get(&Key::new(fd, file)).cloned();
        let item = item.ok_or(Errno::ENOENT)?;
        if (interest.events | item.interest().events) & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.set_interest(interest);
        self.look_at(&item, file);
        Ok(())
    }

    /// `EPOLL_CTL_DEL`: watches a file no longer.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched.
    pub fn delete(&self, fd: i32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let item = self.items.lock().by_key.remove(&Key::new(fd, file)).ok_or(Errno::ENOENT)?;
        self.forget(&item);
        Ok(())
    }

    /// `epoll_wait(2)`: up to `max` events and the data of their files, as soon as there is one, at
    /// the latest at `deadline_ns` of `CLOCK_MONOTONIC` (`Some(0)`: at once).
    ///
    /// # Errors
    ///
    /// `EINTR` when interrupted.
    pub fn wait(
        &self,
        cx: &Ctx<'_>,
        max: usize,
        deadline_ns: Option<u64>,
    ) -> Result<Vec<(u32, u64)>, Errno> {
        loop {
            let found = self.harvest(max);
            if !found.is_empty() || deadline_ns == Some(0) {
                return Ok(found);
            }
            let some = || (!self.ready.lock().is_empty()).then_some(());
            match sched::wait_until(cx.fiber, &[&self.queue], POLLIN, deadline_ns, some) {
                Ok(()) => {}
                Err(Wake::TimedOut) => return Ok(self.harvest(max)),
                Err(Wake::Stopping) => return Err(Errno::ERESTARTNOINTR),
                Err(_) => return Err(Errno::EINTR),
            }
        }
    }

    /// Takes events from the list of what may be ready. What stays ready and is not told of by
    /// changes alone goes to its end again, so that each file has its turn.
    fn harvest(&self, max: usize) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        let mut again = Vec::new();
        let mut left = self.ready.lock().len();
        while found.len() < max && left > 0 {
            left -= 1;
            let Some(key) = self.ready.lock().pop_front() else { break };
            let Some(item) = self.items.lock().by_key.get(&key).cloned() else { continue };
            item.unqueue();
            match item.check() {
                None => self.drop_item(key),
                Some((0, _)) => {}
                Some((events, interest)) => {
                    found.push((events, interest.data));
                    if interest.events & EPOLLONESHOT != 0 {
                        item.disable();
                    } else if interest.events & EPOLLET == 0 {
                        again.push(item);
                    }
                }
            }
        }
        for item in again {
            self.enqueue(&item);
        }
        if !self.ready.lock().is_empty() {
            self.queue.notify_one(POLLIN | POLLRDNORM);
        }
        found
    }

    /// Puts an item into the list of what may be ready; true if it was not there.
    fn enqueue(&self, item: &Item) -> bool {
        let new = item.queue();
        if new {
            self.ready.lock().push_back(item.key());
        }
        new
    }

    /// An event of an item has happened.
    fn tell(&self, item: &Item) {
        if self.enqueue(item) {
            self.queue.notify_one(POLLIN | POLLRDNORM);
        }
    }

    fn look_at(&self, item: &Item, file: &OpenFile) {
        if file.file().poll() & item.wanted() != 0 {
            self.tell(item);
        }
    }

    fn drop_item(&self, key: Key) {
        let item = self.items.lock().by_key.remove(&key);
        if let Some(item) = item {
            self.forget(&item);
        }
    }

    /// Ends the watch of an item that was taken out.
    fn forget(&self, item: &Item) {
        item.unlisten();
        self.shared.charge().sub(ITEM_BYTES, Kind::Kernel);
        let file = item.file();
        if let Some(other) = file.as_ref().and_then(|file| file.downcast::<Self>()) {
            let mut items = other.items.lock();
            let me = std::ptr::from_ref(self);
            let at = items.watchers.iter().position(|watcher| watcher.as_ptr() == me);
            at.map(|at| items.watchers.swap_remove(at));
        }
    }

    /// Drops items whose file is closed, now and then: a closed file tells nobody.
    fn sweep(&self) {
        let closed: Vec<Key> = {
            let mut items = self.items.lock();
            if items.by_key.len() < items.sweep_at {
                return;
            }
            let closed = items.by_key.iter().filter(|(_, item)| item.file().is_none());
            let closed: Vec<Key> = closed.map(|(key, _)| *key).collect();
            items.sweep_at = FIRST_SWEEP.max(2 * (items.by_key.len() - closed.len()));
            closed
        };
        closed.into_iter().for_each(|key| self.drop_item(key));
    }

    fn clear(&self) {
        let all = std::mem::take(&mut self.items.lock().by_key);
        all.values().for_each(|item| self.forget(item));
        self.ready.lock().clear();
    }
}

/// `EPOLLEXCLUSIVE` goes with few other flags and not with epolls (`epoll_ctl(2)`).
fn check_exclusive(events: u32, nested: bool) -> Result<(), Errno> {
    use abi::fs::poll::{POLLERR, POLLHUP, POLLOUT};
    let allowed = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
    let bad = events & EPOLLEXCLUSIVE != 0 && (nested || events & !allowed != 0);
    if bad { Err(Errno::EINVAL) } else { Ok(()) }
}

impl File for Epoll {
    fn poll(&self) -> u32 {
        let keys: Vec<Key> = self.ready.lock().iter().copied().collect();
        let ready = keys.into_iter().any(|key| {
            let item = self.items.lock().by_key.get(&key).cloned();
            item.and_then(|item| item.check()).is_some_and(|(events, _)| events != 0)
        });
        if ready { POLLIN | POLLRDNORM } else { 0 }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn release(&self, _cx: &Ctx<'_>) {
        self.clear();
    }

    fn link_text(&self) -> String {
        "anon_inode:[eventpoll]".to_owned()
    }

    fn fdinfo(&self) -> String {
        let items: Vec<Arc<Item>> = self.items.lock().by_key.values().cloned().collect();
        items.iter().map(|item| item.fdinfo()).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Epoll {
    /// For one that never had a descriptor.
    fn drop(&mut self) {
        self.clear();
    }
}
