//! Connections that wait to be accepted.

use std::{collections::VecDeque, sync::Arc};

use abi::{
    Errno,
    fs::poll::{POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
    socket::Ucred,
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, OpenFile};

use crate::{
    UnixName,
    patience::Patience,
    stream::{ALL_EVENTS, End},
};

/// A listening socket's queue.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "unix::Listener")]
pub(crate) struct Listener {
    pending: Mutex<Pending>,
    /// That of the socket: those who accept and those who wait for room.
    queue: Arc<WaitQueue>,
    /// Who listens.
    pub(super) credentials: Ucred,
}

#[derive(Debug, state::Save, state::Load, Default)]
struct Pending {
    incoming: VecDeque<Incoming>,
    backlog: usize,
    closed: bool,
}

/// A connection that has not been accepted.
#[derive(Debug, state::Save, state::Load)]
pub(super) struct Incoming {
    pub(super) end: Arc<End>,
    /// The name of who connected.
    pub(super) name: UnixName,
}

impl Listener {
    pub(super) fn new(queue: &Arc<WaitQueue>, backlog: usize, credentials: Ucred) -> Arc<Self> {
        let pending = Pending { incoming: VecDeque::new(), backlog, closed: false };
        let pending = Mutex::new(pending);
        Arc::new(Self { pending, queue: Arc::clone(queue), credentials })
    }

    pub(super) fn set_backlog(&self, backlog: usize) {
        self.pending.lock().backlog = backlog;
        self.queue.notify(POLLOUT | POLLWRNORM);
    }

    /// Is there room for one more? Linux lets in one more than the backlog.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is none, `ECONNREFUSED` if nobody listens any more.
    pub(super) fn has_room(&self) -> Result<(), Errno> {
        self.pending.lock().has_room()
    }

    /// Waits for room.
    pub(super) fn wait_for_room(&self, cx: &Ctx<'_>, patience: &Patience) -> Result<(), Errno> {
        let ready = || self.has_room() != Err(Errno::EAGAIN);
        patience.wait(cx, &self.queue, POLLOUT | POLLWRNORM, ready)
    }

    pub(super) fn push(&self, incoming: Incoming) -> Result<(), Errno> {
        {
            let mut pending = self.pending.lock();
            pending.has_room()?;
            pending.incoming.push_back(incoming);
        }
        Ok(())
    }

    /// Tells those who accept.
    pub(super) fn tell(&self) {
        self.queue.notify(POLLIN | POLLRDNORM);
    }

    pub(super) fn pop(&self) -> Result<Incoming, Errno> {
        let popped = {
            let mut pending = self.pending.lock();
            if pending.closed {
                return Err(Errno::EINVAL);
            }
            pending.incoming.pop_front()
        };
        let incoming = popped.ok_or(Errno::EAGAIN)?;
        self.queue.notify(POLLOUT | POLLWRNORM);
        Ok(incoming)
    }

    pub(super) fn poll(&self) -> u32 {
        let pending = self.pending.lock();
        if pending.closed || !pending.incoming.is_empty() { POLLIN | POLLRDNORM } else { 0 }
    }

    /// Nobody accepts any more: those who wait hear of a reset.
    pub(super) fn close(&self, cx: &Ctx<'_>) {
        let incoming = {
            let mut pending = self.pending.lock();
            pending.closed = true;
            std::mem::take(&mut pending.incoming)
        };
        self.queue.notify(ALL_EVENTS);
        for one in incoming {
            one.end.close(cx, true);
        }
    }

    /// The ends that wait.
    pub(super) fn ends(&self) -> Vec<Arc<End>> {
        self.pending.lock().incoming.iter().map(|one| Arc::clone(&one.end)).collect()
    }

    pub(super) fn visit_rights(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        self.ends().iter().for_each(|end| end.visit_rights(visit));
    }
}

impl Pending {
    fn has_room(&self) -> Result<(), Errno> {
        if self.closed {
            return Err(Errno::ECONNREFUSED);
        }
        if self.incoming.len() > self.backlog { Err(Errno::EAGAIN) } else { Ok(()) }
    }
}
