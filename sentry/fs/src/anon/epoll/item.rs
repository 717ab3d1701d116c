//! One watched file.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use abi::fs::poll::{POLLERR, POLLHUP};
use sched::{Listener, Mutex, Notify};
use vfs::{File, OpenFile};

use super::{
    EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, Epoll, Interest, checkpoint::Saved,
};

/// Flags that are no events.
const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;

/// What names an item: the descriptor and the open file (epoll(7), question 0). The item's own
/// `Weak` keeps the address from being given to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    fd: i32,
    file: usize,
}

impl Key {
    pub(super) fn new(fd: i32, file: &Arc<OpenFile>) -> Self {
        Self { fd, file: Arc::as_ptr(file).addr() }
    }
}

/// One watched file.
#[derive(Debug)]
pub(super) struct Item {
    epoll: Weak<Epoll>,
    key: Key,
    file: Weak<OpenFile>,
    /// What listens is taken off here, even when the open file is gone already.
    source: Weak<dyn File>,
    listener: Arc<Listener>,
    state: Mutex<State>,
    queued: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct State {
    interest: Interest,
    /// Told once and waiting for a new interest (`EPOLLONESHOT`).
    disabled: bool,
}

impl Item {
    pub(super) fn new(
        epoll: &Weak<Epoll>,
        key: Key,
        file: &Arc<OpenFile>,
        interest: Interest,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            let me: Weak<dyn Notify> = me.clone();
            Self {
                epoll: epoll.clone(),
                key,
                file: Arc::downgrade(file),
                source: Arc::downgrade(file.file()),
                listener: Listener::callback(me, u32::MAX),
                state: Mutex::new(State { interest, disabled: false }),
                queued: AtomicBool::new(false),
            }
        })
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    pub(super) fn unlisten(&self) {
        if let Some(source) = self.source.upgrade()
            && let Some(queue) = source.wait_queue()
        {
            queue.remove(&self.listener);
        }
    }

    /// The file, unless its last descriptor is closed.
    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade().filter(|file| file.has_users())
    }

    pub(super) fn saved(&self) -> Saved {
        let state = *self.state.lock();
        Saved {
            fd: self.key.fd,
            file: self.file.clone(),
            interest: state.interest,
            disabled: state.disabled,
            queued: self.queued.load(Ordering::Acquire),
        }
    }

    pub(super) fn interest(&self) -> Interest {
        self.state.lock().interest
    }

    pub(super) fn set_interest(&self, interest: Interest) {
        *self.state.lock() = State { interest, disabled: false };
    }

    pub(super) fn disable(&self) {
        self.state.lock().disabled = true;
    }

    /// Events to tell of: those asked for, and the two that nobody can refuse.
    pub(super) fn wanted(&self) -> u32 {
        let state = *self.state.lock();
        if state.disabled { 0 } else { (state.interest.events & !FLAGS) | POLLERR | POLLHUP }
    }

    /// What there is to tell now; `None` if the file is closed.
    pub(super) fn check(&self) -> Option<(u32, Interest)> {
        let file = self.file()?;
        let events = file.file().poll() & self.wanted();
        Some((events, self.interest()))
    }

    /// Notes that the item is in the list; true if it was not.
    pub(super) fn queue(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    pub(super) fn unqueue(&self) {
        self.queued.store(false, Ordering::Release);
    }

    pub(super) fn fdinfo(&self) -> String {
        let Interest { events, data } = self.interest();
        format!("tfd: {:8} events: {events:8x} data: {data:16x}\n", self.key.fd)
    }
}

impl Notify for Item {
    fn notify(&self, events: u32) {
        if events & self.wanted() != 0
            && let Some(epoll) = self.epoll.upgrade()
        {
            epoll.tell(self);
        }
    }
}
