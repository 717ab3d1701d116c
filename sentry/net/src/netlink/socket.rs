//! Netlink sockets: what is sent is answered at once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use abi::{
    Errno,
    fs::poll::{POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM},
    socket::{Ucred, family::AF_NETLINK},
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, Src};

use super::{message::split, route};
use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Shutdown, Transport,
    message::caller,
    options::Options,
    patience::Patience,
    segments::{Segment, Segments, take_message},
};

/// Longest request.
const REQUEST_MAX_BYTES: usize = 32 * 1024;
/// Messages of a dump are put together up to this size, as Linux does.
const DATAGRAM_BYTES: usize = 8 * 1024;

/// A `NETLINK_ROUTE` socket.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Netlink {
    namespace: Arc<Namespace>,
    options: Arc<Options>,
    queue: Arc<WaitQueue>,
    inbox: Mutex<Segments>,
    /// Its number; 0 before it has one.
    port: AtomicU32,
}

impl Netlink {
    /// One without a number.
    pub(crate) fn new(namespace: &Arc<Namespace>, kind: u32) -> Arc<Self> {
        Arc::new(Self {
            namespace: Arc::clone(namespace),
            options: Arc::new(Options::new(AF_NETLINK, kind, 0)),
            queue: Arc::default(),
            inbox: Mutex::new(Segments::new(namespace.charge())),
            port: AtomicU32::new(0),
        })
    }

    /// Its number, given now if it has none.
    fn port(&self, wanted: u32) -> u32 {
        let new = if wanted == 0 { self.namespace.next_netlink_port() } else { wanted };
        let _ = self.port.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
        self.port.load(Ordering::Relaxed)
    }

    fn deliver(&self, bytes: Vec<u8>) -> Result<(), Errno> {
        let mut message = Segment::new(bytes, Ucred::default());
        message.from = Some(Address::Netlink { port: 0, groups: 0 });
        let mut inbox = self.inbox.lock();
        if inbox.used() >= self.options.receive_buffer() {
            return Err(Errno::ENOBUFS);
        }
        inbox.push(message).map_err(|_| Errno::ENOBUFS)
    }

    fn answer(&self, mut request: &[u8]) -> Result<(), Errno> {
        let port = self.port(0);
        let mut datagram = Vec::new();
        while let Some((one, rest)) = split(request) {
            for message in route::answer(one, port) {
                if !datagram.is_empty() && datagram.len() + message.len() > DATAGRAM_BYTES {
                    self.deliver(std::mem::take(&mut datagram))?;
                }
                datagram.extend(message);
            }
            // Answers to different requests are different datagrams.
            if !datagram.is_empty() {
                self.deliver(std::mem::take(&mut datagram))?;
            }
            request = rest;
        }
        Ok(())
    }
}

impl Transport for Netlink {
    fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn poll(&self) -> u32 {
        let readable = !self.inbox.lock().is_empty();
        POLLOUT | POLLWRNORM | POLLWRBAND | if readable { POLLIN | POLLRDNORM } else { 0 }
    }

    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        let Address::Netlink { port, groups: _ } = *addr else { return Err(Errno::EINVAL) };
        // A wish for news (groups) is granted: there never are any.
        let own = match port {
            0 => 0,
            port if port == caller(cx).pid => port,
            port => port,
        };
        if own != 0 && self.port(own) != own {
            return Err(Errno::EINVAL);
        }
        self.port(0);
        Ok(())
    }

    fn connect(&self, _cx: &Ctx<'_>, addr: &Address, _patience: Patience) -> Result<(), Errno> {
        match addr {
            Address::Netlink { port: 0, .. } | Address::Unspecified => {
                self.port(0);
                Ok(())
            }
            Address::Netlink { .. } => Err(Errno::ECONNREFUSED),
            _ => Err(Errno::EINVAL),
        }
    }

    fn send(&self, _cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno> {
        if !out.rights.is_empty() {
            return Err(Errno::EINVAL);
        }
        match &out.to {
            None | Some(Address::Netlink { port: 0, .. }) => {}
            Some(Address::Netlink { .. }) => return Err(Errno::ECONNREFUSED),
            Some(_) => return Err(Errno::EINVAL),
        }
        let request = take_message(src, REQUEST_MAX_BYTES)?;
        self.answer(&request)?;
        self.queue.notify(POLLIN | POLLRDNORM);
        Ok(request.len())
    }

    fn recv(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        let message = {
            let mut inbox = self.inbox.lock();
            let peeked = if how.peek { inbox.front() } else { None };
            match peeked {
                Some(first) => {
                    let mut copy = Segment::new(first.bytes().to_vec(), first.sender);
                    copy.from.clone_from(&first.from);
                    copy
                }
                None => inbox.pop().ok_or(Errno::EAGAIN)?,
            }
        };
        let bytes = message.bytes();
        let fits = bytes.len().min(dst.remaining());
        let count = dst.put(bytes.get(..fits).unwrap_or_default())?;
        let mut received = Received { whole: bytes.len(), ..Received::default() };
        received.truncated = fits < bytes.len();
        received.count = if how.trunc { bytes.len() } else { count };
        received.control.credentials = self.options.pass_credentials().then_some(message.sender);
        received.from.clone_from(&message.from);
        Ok(received)
    }

    fn shutdown(&self, _cx: &Ctx<'_>, _how: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local(&self) -> Address {
        Address::Netlink { port: self.port.load(Ordering::Relaxed), groups: 0 }
    }

    fn peer(&self) -> Result<Address, Errno> {
        Ok(Address::Netlink { port: 0, groups: 0 })
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.inbox.lock().front().map_or(0, |first| first.bytes().len()))
    }

    fn release(&self, _cx: &Ctx<'_>) {
        self.inbox.lock().clear();
    }
}
