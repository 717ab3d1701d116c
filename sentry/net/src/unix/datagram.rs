//! `SOCK_DGRAM`.

use std::sync::{Arc, OnceLock, Weak};

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM},
    socket::{Ucred, family::AF_UNIX, kind::SOCK_DGRAM},
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, OpenFile, Src};

use super::bound::Bound;
use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Shutdown, Transport, UnixName,
    message::caller,
    options::Options,
    patience::Patience,
    segments::{Segment, Segments, take_message},
    stream::ALL_EVENTS,
};

/// Messages that may wait (`/proc/sys/net/unix/max_dgram_qlen`); one more is let in, as on Linux.
const QUEUE_MAX: usize = 10;
/// What Linux takes off the send buffer for itself.
const HEADER_BYTES: usize = 32;

/// A datagram socket.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Datagram {
    me: OnceLock<Weak<Datagram>>,
    namespace: Arc<Namespace>,
    options: Arc<Options>,
    queue: Arc<WaitQueue>,
    bound: Bound,
    state: Mutex<State>,
}

#[derive(Debug, state::Save, state::Load, Default)]
struct State {
    inbox: Segments,
    peer: Option<Peer>,
    peer_credentials: Option<Ucred>,
    /// Senders that found no room.
    blocked: Vec<Weak<Datagram>>,
    deaf: bool,
    mute: bool,
    closed: bool,
}

#[derive(Clone, Debug, state::Save, state::Load)]
struct Peer {
    socket: Weak<Datagram>,
    name: UnixName,
}

impl Datagram {
    /// An unconnected one.
    pub(crate) fn new(namespace: &Arc<Namespace>) -> Arc<Self> {
        let state = State {
            inbox: Segments::new(namespace.charge()),
            peer: None,
            peer_credentials: None,
            blocked: Vec::new(),
            deaf: false,
            mute: false,
            closed: false,
        };
        let socket = Arc::new(Self {
            me: OnceLock::new(),
            namespace: Arc::clone(namespace),
            options: Arc::new(Options::new(AF_UNIX, SOCK_DGRAM, 0)),
            queue: Arc::default(),
            bound: Bound::default(),
            state: Mutex::new(state),
        });
        let _ = socket.me.set(Arc::downgrade(&socket));
        socket
    }

    /// socketpair(2).
    pub(crate) fn pair(cx: &Ctx<'_>, namespace: &Arc<Namespace>) -> (Arc<Self>, Arc<Self>) {
        let (a, b) = (Self::new(namespace), Self::new(namespace));
        for (one, other) in [(&a, &b), (&b, &a)] {
            let mut state = one.state.lock();
            let socket = Arc::downgrade(other);
            state.peer = Some(Peer { socket, name: UnixName::Unnamed });
            state.peer_credentials = Some(caller(cx));
        }
        (a, b)
    }

    fn me(&self) -> Weak<Self> {
        self.me.get().cloned().unwrap_or_default()
    }

    fn weak(&self) -> Weak<dyn Transport> {
        self.me()
    }

    /// May `sender` send here? Only the peer may, where there is one.
    fn lets_in(&self, sender: &Self) -> bool {
        let state = self.state.lock();
        state.peer.as_ref().is_none_or(|peer| peer.socket.as_ptr() == std::ptr::from_ref(sender))
    }

    /// Where a message goes.
    fn receiver(&self, cx: &Ctx<'_>, out: &Outgoing) -> Result<Arc<Self>, Errno> {
        match &out.to {
            Some(Address::Unix(name)) => self.namespace.names().find_kind(cx, name, SOCK_DGRAM),
            Some(_) => Err(Errno::EINVAL),
            None => {
                let peer = self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
                let receiver = peer.socket.upgrade().filter(|peer| !peer.state.lock().closed);
                if receiver.is_none() {
                    self.state.lock().peer = None;
                }
                receiver.ok_or(Errno::ECONNREFUSED)
            }
        }
    }

    /// Puts a message into the inbox, with descriptors that take off now.
    fn deliver(&self, mut message: Segment, out: &Outgoing) -> Delivery {
        let rights = &out.rights;
        let mut flight = (!rights.is_empty()).then(|| self.namespace.flight().lock());
        let mut state = self.state.lock();
        if state.closed {
            return Delivery::Refused(Errno::ECONNREFUSED);
        }
        if state.deaf {
            return Delivery::Refused(Errno::EPIPE);
        }
        if let Some(flight) = &mut flight {
            if let Err(error) = flight.take_off(rights) {
                return Delivery::Refused(error);
            }
            message.rights.clone_from(rights);
        }
        match state.inbox.push(message) {
            Ok(()) => Delivery::Done,
            Err(rights) => Delivery::NoMemory(rights),
        }
    }

    /// Takes the first message out, or copies it.
    fn take(&self, peek: bool) -> Result<Segment, Errno> {
        let mut flight = self.namespace.flight().lock();
        let mut state = self.state.lock();
        if peek && let Some(first) = state.inbox.front() {
            let mut copy = Segment::new(first.bytes().to_vec(), first.sender);
            copy.from.clone_from(&first.from);
            copy.rights.clone_from(&first.rights);
            copy.rights.iter().for_each(|file| file.add_user());
            return Ok(copy);
        }
        match state.inbox.pop() {
            Some(message) => {
                flight.land(&message.rights);
                Ok(message)
            }
            None if state.deaf => Err(Errno::ESHUTDOWN),
            None => Err(Errno::EAGAIN),
        }
    }

    /// There is room again: those who wait for it may try.
    fn tell_room(&self) {
        let blocked = std::mem::take(&mut self.state.lock().blocked);
        for sender in blocked.iter().filter_map(Weak::upgrade) {
            sender.queue.notify(POLLOUT | POLLWRNORM);
        }
    }

    /// Has the peer room? If not, it will tell.
    fn peer_has_room(&self, peer: &Self) -> bool {
        let mut state = peer.state.lock();
        let full = state.is_full() && !state.closed;
        if full {
            state.block(self.me());
        }
        !full
    }
}

enum Delivery {
    Done,
    Refused(Errno),
    NoMemory(Vec<Arc<OpenFile>>),
}

impl State {
    fn is_full(&self) -> bool {
        self.inbox.len() > QUEUE_MAX
    }

    fn block(&mut self, sender: Weak<Datagram>) {
        self.blocked.retain(|other| other.strong_count() > 0);
        if !self.blocked.iter().any(|other| other.ptr_eq(&sender)) {
            self.blocked.push(sender);
        }
    }
}

impl Transport for Datagram {
    fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn poll(&self) -> u32 {
        let (mut events, peer) = {
            let state = self.state.lock();
            let mut events = 0;
            if state.deaf || !state.inbox.is_empty() {
                events |= POLLIN | POLLRDNORM;
            }
            if state.deaf {
                events |= POLLRDHUP;
            }
            if state.deaf && state.mute {
                events |= POLLHUP;
            }
            (events, state.peer.as_ref().and_then(|peer| peer.socket.upgrade()))
        };
        if peer.is_none_or(|peer| self.peer_has_room(&peer)) {
            events |= POLLOUT | POLLWRNORM | POLLWRBAND;
        }
        events
    }

    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        self.bound.bind(cx, &self.namespace, &self.weak(), addr)
    }

    fn connect(&self, cx: &Ctx<'_>, addr: &Address, _patience: Patience) -> Result<(), Errno> {
        let name = match addr {
            Address::Unspecified => {
                self.state.lock().peer = None;
                self.queue.notify(POLLOUT | POLLWRNORM);
                return Ok(());
            }
            Address::Unix(name) => name,
            _ => return Err(Errno::EINVAL),
        };
        if self.options.pass_credentials() {
            self.bound.bind_automatic(&self.namespace, &self.weak())?;
        }
        let target: Arc<Self> = self.namespace.names().find_kind(cx, name, SOCK_DGRAM)?;
        if !target.lets_in(self) {
            return Err(Errno::EPERM);
        }
        let peer = Peer { socket: Arc::downgrade(&target), name: target.bound.name() };
        self.state.lock().peer = Some(peer);
        Ok(())
    }

    fn send(&self, cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno> {
        if self.state.lock().mute {
            return Err(Errno::EPIPE);
        }
        let receiver = self.receiver(cx, out)?;
        if self.options.pass_credentials() {
            self.bound.bind_automatic(&self.namespace, &self.weak())?;
        }
        if !receiver.lets_in(self) {
            return Err(Errno::EPERM);
        }
        let weak: Weak<Self> = Arc::downgrade(&receiver);
        out.busy = Some(weak);
        if !self.peer_has_room(&receiver) {
            return Err(Errno::EAGAIN);
        }
        let most = self.options.send_buffer().saturating_sub(HEADER_BYTES);
        let sender = out.credentials.unwrap_or_else(|| caller(cx));
        let mut message = Segment::new(take_message(src, most)?, sender);
        message.from = self.bound.name().given();
        let count = message.bytes().len();
        match receiver.deliver(message, out) {
            Delivery::Done => {}
            Delivery::Refused(error) => return Err(error),
            Delivery::NoMemory(rights) => {
                self.namespace.flight().crash(cx, rights);
                return Err(Errno::ENOBUFS);
            }
        }
        receiver.queue.notify(POLLIN | POLLRDNORM);
        Ok(count)
    }

    fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.closed || !state.is_full()
    }

    fn recv(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        let message = match self.take(how.peek) {
            Err(Errno::ESHUTDOWN) => return Ok(Received::default()),
            result => result?,
        };
        if !how.peek {
            self.tell_room();
        }
        let bytes = message.bytes();
        let fits = bytes.len().min(dst.remaining());
        let count = match dst.put(bytes.get(..fits).unwrap_or_default()) {
            Ok(count) => count,
            Err(error) => {
                self.namespace.flight().discard(cx, message.rights);
                return Err(error);
            }
        };
        let mut received = Received { whole: bytes.len(), ..Received::default() };
        received.truncated = fits < bytes.len();
        received.count = if how.trunc { bytes.len() } else { count };
        received.control.credentials = self.options.pass_credentials().then_some(message.sender);
        received.from.clone_from(&message.from);
        received.control.rights = message.rights;
        Ok(received)
    }

    fn shutdown(&self, _cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno> {
        let peer = {
            let mut state = self.state.lock();
            let peer = state.peer.clone();
            state.deaf |= how.read;
            state.mute |= how.write;
            peer
        };
        self.queue.notify(ALL_EVENTS);
        if let Some(peer) = peer.and_then(|peer| peer.socket.upgrade()) {
            peer.queue.notify(ALL_EVENTS);
        }
        self.tell_room();
        Ok(())
    }

    fn local(&self) -> Address {
        Address::Unix(self.bound.name())
    }

    fn peer(&self) -> Result<Address, Errno> {
        let state = self.state.lock();
        state.peer.as_ref().map(|peer| Address::Unix(peer.name.clone())).ok_or(Errno::ENOTCONN)
    }

    fn peer_credentials(&self) -> Option<Ucred> {
        self.state.lock().peer_credentials
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().inbox.front().map_or(0, |first| first.bytes().len()))
    }

    fn release(&self, cx: &Ctx<'_>) {
        self.bound.release(&self.namespace);
        let rights = {
            let mut state = self.state.lock();
            state.closed = true;
            state.deaf = true;
            state.mute = true;
            state.inbox.clear()
        };
        self.queue.notify(POLLERR | POLLHUP);
        self.tell_room();
        self.namespace.flight().crash(cx, rights);
    }

    fn visit_rights(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        self.state.lock().inbox.iter().flat_map(|message| &message.rights).for_each(visit);
    }

    fn take_rights(&self) -> Vec<Arc<OpenFile>> {
        let mut state = self.state.lock();
        state.inbox.iter_mut().flat_map(|message| std::mem::take(&mut message.rights)).collect()
    }

    fn is_unix(&self) -> bool {
        true
    }
}
