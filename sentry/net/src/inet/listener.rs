//! Connections that wait to be accepted, and those that wait for room to do so.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use abi::{
    Errno,
    fs::poll::{POLLIN, POLLRDNORM},
};
use sched::{Mutex, WaitQueue};
use vfs::Ctx;

use super::Tcp;
use crate::{
    Namespace,
    options::Options,
    stream::{ALL_EVENTS, End},
};

/// What a listening TCP socket receives with.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct TcpListener {
    namespace: Arc<Namespace>,
    pending: Mutex<Pending>,
    queue: Arc<WaitQueue>,
    pub(super) options: Arc<Options>,
}

#[derive(Debug, state::Save, state::Load, Default)]
struct Pending {
    incoming: VecDeque<Incoming>,
    /// In the state SYN-SENT: there was no room for them yet.
    waiting: VecDeque<Weak<Tcp>>,
    backlog: usize,
    closed: bool,
}

/// A connection that has not been accepted.
#[derive(Debug, state::Save, state::Load)]
pub(super) struct Incoming {
    pub(super) end: Arc<End>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl TcpListener {
    pub(super) fn new(
        namespace: &Arc<Namespace>,
        queue: &Arc<WaitQueue>,
        options: &Arc<Options>,
        backlog: usize,
    ) -> Arc<Self> {
        let (incoming, waiting) = (VecDeque::new(), VecDeque::new());
        Arc::new(Self {
            namespace: Arc::clone(namespace),
            pending: Mutex::new(Pending { incoming, waiting, backlog, closed: false }),
            queue: Arc::clone(queue),
            options: Arc::clone(options),
        })
    }

    pub(super) fn set_backlog(&self, backlog: usize) {
        self.pending.lock().backlog = backlog;
        self.promote();
    }

    /// Adds a connection. Linux lets in one more than the backlog.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is no room, `ECONNREFUSED` if nobody listens any more.
    pub(super) fn push(&self, incoming: Incoming) -> Result<(), Errno> {
        let mut pending = self.pending.lock();
        if pending.closed {
            return Err(Errno::ECONNREFUSED);
        }
        if pending.incoming.len() > pending.backlog {
            return Err(Errno::EAGAIN);
        }
        self.namespace.tcp_ports().accepted(incoming.local.port(), self.options.reuse_address());
        pending.incoming.push_back(incoming);
        Ok(())
    }

    /// Tells those who accept.
    pub(super) fn tell(&self) {
        self.queue.notify(POLLIN | POLLRDNORM);
    }

    /// `client` waits for room.
    pub(super) fn enqueue(&self, client: Weak<Tcp>) -> Result<(), Errno> {
        let mut pending = self.pending.lock();
        if pending.closed {
            return Err(Errno::ECONNREFUSED);
        }
        pending.waiting.retain(|other| other.strong_count() > 0);
        pending.waiting.push_back(client);
        Ok(())
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
        self.promote();
        Ok(incoming)
    }

    /// Lets those in for whom there is room now.
    fn promote(&self) {
        loop {
            let next = {
                let mut pending = self.pending.lock();
                let room = pending.incoming.len() <= pending.backlog;
                if room { pending.waiting.pop_front() } else { None }
            };
            let Some(client) = next else { return };
            if let Some(client) = client.upgrade() {
                client.let_in(self);
            }
        }
    }

    pub(super) fn poll(&self) -> u32 {
        let pending = self.pending.lock();
        if pending.closed || !pending.incoming.is_empty() { POLLIN | POLLRDNORM } else { 0 }
    }

    /// Nobody accepts any more.
    pub(super) fn close(&self, cx: &Ctx<'_>) {
        let (incoming, waiting) = {
            let mut pending = self.pending.lock();
            pending.closed = true;
            (std::mem::take(&mut pending.incoming), std::mem::take(&mut pending.waiting))
        };
        self.queue.notify(ALL_EVENTS);
        for one in incoming {
            one.end.close(cx, true);
            let reuse = self.options.reuse_address();
            self.namespace.tcp_ports().closed(one.local.port(), 0, reuse);
        }
        for client in waiting.iter().filter_map(Weak::upgrade) {
            client.refuse();
        }
    }
}
