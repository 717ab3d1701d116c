//! Connected ends: bytes go from one straight into the inbox of the other.

use std::sync::{Arc, OnceLock, Weak};

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM},
    socket::Ucred,
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, OpenFile, SleepLock, Src};

use crate::{
    Namespace, Outgoing, Received, RecvHow, Shutdown,
    message::caller,
    options::Options,
    segments::{STEP_BYTES, Segment, Segments, take_bytes, take_message},
};

/// All events that a connection can have.
pub(crate) const ALL_EVENTS: u32 =
    POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP | POLLRDHUP;

/// What kinds of connection do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(crate) enum Flavor {
    /// `AF_UNIX`, `SOCK_STREAM`.
    UnixStream,
    /// `AF_UNIX`, `SOCK_SEQPACKET`: messages keep their bounds.
    UnixMessages,
    /// TCP.
    Tcp,
}

/// One end of a connection.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct End {
    flavor: Flavor,
    namespace: Arc<Namespace>,
    pub(crate) options: Arc<Options>,
    pub(crate) queue: Arc<WaitQueue>,
    inbox: Mutex<Inbox>,
    /// One reader at a time may have a segment in its hands, so that it can put back the rest.
    #[state(skip)]
    reading: SleepLock,
    peer: OnceLock<Weak<End>>,
    /// Who the peer was when it connected or listened.
    pub(crate) peer_credentials: Ucred,
}

#[derive(Debug, state::Save, state::Load, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
struct Inbox {
    segments: Segments,
    /// The peer sends no more.
    ended: bool,
    /// This end reads no more.
    deaf: bool,
    /// This end sends no more.
    mute: bool,
    /// It was mute before the peer had ended: of TCP's two ends, the one that waits (TIME-WAIT).
    mute_first: bool,
    closed: bool,
    error: Option<Errno>,
}

/// What one end is made of.
#[derive(Debug)]
pub(crate) struct EndParts {
    pub(crate) options: Arc<Options>,
    pub(crate) queue: Arc<WaitQueue>,
    pub(crate) peer_credentials: Ucred,
}

/// Makes two ends that are connected.
pub(crate) fn pair(
    namespace: &Arc<Namespace>,
    flavor: Flavor,
    a: EndParts,
    b: EndParts,
) -> (Arc<End>, Arc<End>) {
    let make = |parts: EndParts| {
        let inbox = Inbox {
            segments: Segments::new(namespace.charge()),
            ended: false,
            deaf: false,
            mute: false,
            mute_first: false,
            closed: false,
            error: None,
        };
        Arc::new(End {
            flavor,
            namespace: Arc::clone(namespace),
            options: parts.options,
            queue: parts.queue,
            inbox: Mutex::new(inbox),
            reading: SleepLock::default(),
            peer: OnceLock::new(),
            peer_credentials: parts.peer_credentials,
        })
    };
    let (a, b) = (make(a), make(b));
    let _ = a.peer.set(Arc::downgrade(&b));
    let _ = b.peer.set(Arc::downgrade(&a));
    (a, b)
}

/// How a piece of a stream goes on after it was taken.
struct Taken {
    segment: Segment,
    rights: Vec<Arc<OpenFile>>,
}

impl End {
    fn peer(&self) -> Option<Arc<Self>> {
        self.peer.get().and_then(Weak::upgrade)
    }

    fn is_tcp(&self) -> bool {
        self.flavor == Flavor::Tcp
    }

    /// Bytes that may wait at `peer` before a sender has to wait.
    fn limit(&self, peer: &Self) -> usize {
        let own = self.options.send_buffer();
        if self.is_tcp() { own + peer.options.receive_buffer() } else { own }
    }

    /// send(2).
    pub(crate) fn send(
        &self,
        cx: &Ctx<'_>,
        src: &mut dyn Src,
        out: &Outgoing,
    ) -> Result<usize, Errno> {
        {
            let mut inbox = self.inbox.lock();
            if let Some(error) = inbox.error.take() {
                return Err(error);
            }
            if inbox.mute {
                return Err(Errno::EPIPE);
            }
        }
        let Some(peer) = self.peer() else { return self.send_to_nobody(src) };
        let limit = self.limit(&peer);
        if self.flavor == Flavor::UnixMessages {
            self.send_message(cx, &peer, src, out, limit)
        } else {
            self.send_bytes(cx, &peer, src, out, limit)
        }
    }

    fn send_message(
        &self,
        cx: &Ctx<'_>,
        peer: &Self,
        src: &mut dyn Src,
        out: &Outgoing,
        limit: usize,
    ) -> Result<usize, Errno> {
        if peer.inbox.lock().segments.used() >= limit {
            return Err(Errno::EAGAIN);
        }
        let segment = Segment::new(take_message(src, limit)?, sender(cx, out));
        let count = segment.bytes().len();
        self.deliver(cx, peer, segment, &out.rights)?;
        Ok(count)
    }

    fn send_bytes(
        &self,
        cx: &Ctx<'_>,
        peer: &Self,
        src: &mut dyn Src,
        out: &Outgoing,
        limit: usize,
    ) -> Result<usize, Errno> {
        let sender = sender(cx, out);
        let mut done = 0;
        let mut rights: &[Arc<OpenFile>] = &out.rights;
        while src.remaining() > 0 {
            let room = limit.saturating_sub(peer.inbox.lock().segments.used());
            let step = if room == 0 {
                Err(Errno::EAGAIN)
            } else {
                take_bytes(src, room.min(STEP_BYTES)).and_then(|data| {
                    let count = data.len();
                    self.deliver(cx, peer, Segment::new(data, sender), rights)?;
                    Ok(count)
                })
            };
            match step {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            rights = &[];
        }
        Ok(done)
    }

    /// Puts a segment into the inbox of `peer`, with descriptors that take off now.
    fn deliver(
        &self,
        cx: &Ctx<'_>,
        peer: &Self,
        mut segment: Segment,
        rights: &[Arc<OpenFile>],
    ) -> Result<(), Errno> {
        let refused = {
            let mut flight = (!rights.is_empty()).then(|| self.namespace.flight().lock());
            let mut inbox = peer.inbox.lock();
            if inbox.closed || (inbox.deaf && !self.is_tcp()) {
                drop(inbox);
                drop(flight);
                return self.broken();
            }
            if let Some(flight) = &mut flight {
                flight.take_off(rights)?;
                segment.rights = rights.to_vec();
            }
            let pushed = if self.flavor == Flavor::UnixMessages {
                inbox.segments.push(segment)
            } else {
                inbox.segments.push_stream(segment)
            };
            pushed.err()
        };
        if let Some(rights) = refused {
            self.namespace.flight().crash(cx, rights);
            return Err(Errno::ENOBUFS);
        }
        peer.queue.notify(POLLIN | POLLRDNORM);
        Ok(())
    }

    /// The peer has gone: TCP finds out by an answer to what it sent.
    fn broken(&self) -> Result<(), Errno> {
        if !self.is_tcp() {
            return Err(Errno::EPIPE);
        }
        self.fail(|inbox| if inbox.ended { Errno::EPIPE } else { Errno::ECONNRESET });
        Ok(())
    }

    fn send_to_nobody(&self, src: &mut dyn Src) -> Result<usize, Errno> {
        if src.remaining() == 0 {
            // Nothing is sent, so nothing comes back.
            return Ok(0);
        }
        let count = take_bytes(src, STEP_BYTES)?.len();
        self.broken()?;
        Ok(count)
    }

    /// The connection is over at once, with an error to be told.
    fn fail(&self, error: impl FnOnce(&Inbox) -> Errno) {
        {
            let mut inbox = self.inbox.lock();
            let error = error(&inbox);
            inbox.error = Some(error);
            inbox.ended = true;
            inbox.mute = true;
        }
        self.queue.notify(ALL_EVENTS);
    }

    /// recv(2).
    pub(crate) fn recv(
        &self,
        cx: &Ctx<'_>,
        dst: &mut dyn Dst,
        how: RecvHow,
    ) -> Result<Received, Errno> {
        let messages = self.flavor == Flavor::UnixMessages;
        if dst.remaining() == 0 && !messages {
            return Ok(Received::default());
        }
        let _alone = self.reading.lock(cx.fiber);
        if how.peek {
            return self.peek(cx, dst, how);
        }
        if messages {
            return self.recv_message(cx, dst, how);
        }
        let mut received = Received::default();
        let result = self.recv_bytes(dst, how, &mut received);
        if received.count > 0 {
            self.tell_room();
        }
        match result {
            Err(error) if received.count == 0 => {
                // A fault: the descriptors of that piece are the caller's to give back.
                let rights = std::mem::take(&mut received.control.rights);
                self.namespace.flight().discard(cx, rights);
                Err(error)
            }
            _ => Ok(received),
        }
    }

    fn recv_bytes(
        &self,
        dst: &mut dyn Dst,
        how: RecvHow,
        received: &mut Received,
    ) -> Result<(), Errno> {
        let wants_creds = self.options.pass_credentials();
        let throw_away = how.trunc && self.is_tcp();
        let wanted = dst.remaining();
        while received.count < wanted {
            let first = received.count == 0;
            let sender = received.control.credentials.filter(|_| !first);
            let Some(taken) = self.take(first, sender)? else { break };
            let mut segment = taken.segment;
            let last = !taken.rights.is_empty();
            received.control.rights.extend(taken.rights);
            received.control.credentials = wants_creds.then_some(segment.sender);
            let stored = if throw_away {
                Ok(segment.bytes().len().min(wanted - received.count))
            } else {
                dst.put(segment.bytes())
            };
            let count = *stored.as_ref().unwrap_or(&0);
            segment.advance(count);
            received.count += count;
            let rest = !segment.bytes().is_empty();
            if rest {
                self.inbox.lock().segments.put_back(segment);
            }
            stored?;
            if rest || last {
                break;
            }
        }
        Ok(())
    }

    /// Takes the first segment out. If it is not to be the `first` of this call, `None` where
    /// there is none, or none of the same `sender`.
    fn take(&self, first: bool, sender: Option<Ucred>) -> Result<Option<Taken>, Errno> {
        {
            let mut inbox = self.inbox.lock();
            let Some(front) = inbox.segments.front() else {
                return if first { inbox.nothing().map(|()| None) } else { Ok(None) };
            };
            if sender.is_some_and(|sender| front.sender != sender) {
                return Ok(None);
            }
            if front.rights.is_empty() {
                let segment = inbox.segments.pop();
                return Ok(segment.map(|segment| Taken { segment, rights: Vec::new() }));
            }
        }
        let mut flight = self.namespace.flight().lock();
        let Some(mut segment) = self.inbox.lock().segments.pop() else { return Ok(None) };
        let rights = std::mem::take(&mut segment.rights);
        flight.land(&rights);
        Ok(Some(Taken { segment, rights }))
    }

    fn recv_message(
        &self,
        cx: &Ctx<'_>,
        dst: &mut dyn Dst,
        how: RecvHow,
    ) -> Result<Received, Errno> {
        let Some(taken) = self.take(true, None)? else { return Ok(Received::default()) };
        self.tell_room();
        match self.message(&taken.segment, how, dst) {
            Ok(mut received) => {
                received.control.rights = taken.rights;
                Ok(received)
            }
            Err(error) => {
                self.namespace.flight().discard(cx, taken.rights);
                Err(error)
            }
        }
    }

    /// Stores a whole message, as far as there is space.
    fn message(
        &self,
        segment: &Segment,
        how: RecvHow,
        dst: &mut dyn Dst,
    ) -> Result<Received, Errno> {
        let bytes = segment.bytes();
        let fits = bytes.len().min(dst.remaining());
        let count = dst.put(bytes.get(..fits).unwrap_or_default())?;
        let mut received = Received { whole: bytes.len(), ..Received::default() };
        received.truncated = fits < bytes.len();
        received.count = if how.trunc { bytes.len() } else { count };
        received.control.credentials = self.options.pass_credentials().then_some(segment.sender);
        Ok(received)
    }

    /// `MSG_PEEK`: copies what is there. Descriptors are handed out as well (unix(7)).
    fn peek(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        let whole = self.flavor == Flavor::UnixMessages;
        let wanted = dst.remaining();
        let mut bytes = Vec::new();
        let mut rights = Vec::new();
        let sender = {
            let _books = self.namespace.flight().lock();
            let mut inbox = self.inbox.lock();
            let Some(sender) = inbox.segments.front().map(|first| first.sender) else {
                return inbox.nothing().map(|()| Received::default());
            };
            for segment in inbox.segments.iter() {
                let room = if whole { usize::MAX } else { wanted - bytes.len() };
                let some = segment.bytes().get(..room);
                bytes.extend_from_slice(some.unwrap_or(segment.bytes()));
                rights.extend(segment.rights.iter().cloned());
                if whole || bytes.len() >= wanted || !rights.is_empty() {
                    break;
                }
            }
            rights.iter().for_each(|file: &Arc<OpenFile>| file.add_user());
            sender
        };
        match self.message(&Segment::new(bytes, sender), how, dst) {
            Ok(mut received) => {
                received.truncated &= whole;
                received.control.rights = rights;
                Ok(received)
            }
            Err(error) => {
                self.namespace.flight().discard(cx, rights);
                Err(error)
            }
        }
    }

    /// Bytes have left the inbox: the peer may send more.
    fn tell_room(&self) {
        if let Some(peer) = self.peer() {
            peer.queue.notify(POLLOUT | POLLWRNORM);
        }
    }

    /// Which events hold now.
    pub(crate) fn poll(&self) -> u32 {
        let (mut events, mute) = {
            let inbox = self.inbox.lock();
            let over = inbox.ended || inbox.deaf;
            let mut events = 0;
            if over || !inbox.segments.is_empty() {
                events |= POLLIN | POLLRDNORM;
            }
            if over {
                events |= POLLRDHUP;
            }
            if over && inbox.mute {
                events |= POLLHUP;
            }
            if inbox.error.is_some() {
                events |= POLLERR;
            }
            (events, inbox.mute)
        };
        if mute || self.peer().is_none_or(|peer| self.has_room(&peer)) {
            events |= POLLOUT | POLLWRNORM | if self.is_tcp() { 0 } else { POLLWRBAND };
        }
        events
    }

    fn has_room(&self, peer: &Self) -> bool {
        peer.inbox.lock().segments.used() <= self.limit(peer) / 2
    }

    /// shutdown(2).
    pub(crate) fn shutdown(&self, how: Shutdown) {
        {
            let mut inbox = self.inbox.lock();
            inbox.deaf |= how.read;
            if how.write && !inbox.mute {
                inbox.mute = true;
                inbox.mute_first = !inbox.ended;
            }
        }
        if let Some(peer) = self.peer() {
            {
                let mut inbox = peer.inbox.lock();
                inbox.ended |= how.write;
                inbox.mute |= how.read && !self.is_tcp();
            }
            peer.queue.notify(ALL_EVENTS);
        }
        self.queue.notify(ALL_EVENTS);
    }

    /// The socket is closed; the peer hears of it. `reset` if it must not be a clean end.
    /// True if this end is the one that waits in TCP's TIME-WAIT.
    pub(crate) fn close(&self, cx: &Ctx<'_>, reset: bool) -> bool {
        let (unread, rights, waits) = {
            let mut inbox = self.inbox.lock();
            if inbox.closed {
                return false;
            }
            let waits = if inbox.mute { inbox.mute_first } else { !inbox.ended };
            inbox.closed = true;
            inbox.deaf = true;
            inbox.mute = true;
            (!inbox.segments.is_empty(), inbox.segments.clear(), waits && inbox.error.is_none())
        };
        let reset = reset || unread;
        if let Some(peer) = self.peer() {
            {
                let mut inbox = peer.inbox.lock();
                if reset && !inbox.closed {
                    inbox.error = Some(Errno::ECONNRESET);
                }
                inbox.mute |= reset || !self.is_tcp();
                inbox.ended = true;
            }
            peer.queue.notify(ALL_EVENTS);
        }
        self.namespace.flight().crash(cx, rights);
        waits && !reset
    }

    /// Takes the pending error.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    /// Bytes that can be read: all of a stream, or the first message.
    pub(crate) fn readable_bytes(&self) -> usize {
        let inbox = self.inbox.lock();
        match self.flavor {
            Flavor::UnixMessages => inbox.segments.front().map_or(0, |first| first.bytes().len()),
            _ => inbox.segments.bytes(),
        }
    }

    /// Bytes that the peer has not read.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.peer().map_or(0, |peer| peer.inbox.lock().segments.bytes())
    }

    /// The state as TCP calls it.
    pub(crate) fn tcp_state(&self) -> u8 {
        use abi::socket::tcp_state;
        let inbox = self.inbox.lock();
        match (inbox.ended, inbox.mute) {
            (false, false) => tcp_state::TCP_ESTABLISHED,
            (false, true) => tcp_state::TCP_FIN_WAIT2,
            (true, false) => tcp_state::TCP_CLOSE_WAIT,
            (true, true) => tcp_state::TCP_CLOSE,
        }
    }

    /// True once both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        let inbox = self.inbox.lock();
        inbox.ended && inbox.mute
    }

    pub(crate) fn visit_rights(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        self.inbox.lock().segments.iter().flat_map(|segment| &segment.rights).for_each(visit);
    }

    pub(crate) fn take_rights(&self) -> Vec<Arc<OpenFile>> {
        let mut inbox = self.inbox.lock();
        inbox.segments.iter_mut().flat_map(|segment| std::mem::take(&mut segment.rights)).collect()
    }
}

impl Inbox {
    /// Nothing can be read: why?
    fn nothing(&mut self) -> Result<(), Errno> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.ended(),
        }
    }

    /// Ok if nothing more will come.
    fn ended(&self) -> Result<(), Errno> {
        if self.ended || self.deaf || self.error.is_some() { Ok(()) } else { Err(Errno::EAGAIN) }
    }
}

/// Who a message says it is from.
fn sender(cx: &Ctx<'_>, out: &Outgoing) -> Ucred {
    out.credentials.unwrap_or_else(|| caller(cx))
}
