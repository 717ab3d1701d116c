//! UDP sockets.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, Weak},
};

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM},
    socket::{
        ip::{IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IP_TOS, IP_TTL},
        ipv6::{
            IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_UNICAST_HOPS,
        },
        protocol::{IPPROTO_IP, IPPROTO_IPV6},
    },
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, Src};

use super::{
    local::Local,
    ports::{Claim, Wish},
    route,
};
use crate::{
    Address, Control, Namespace, Outgoing, PacketInfo, Received, RecvHow, Shutdown, Transport,
    address::seen_by,
    interface,
    message::caller,
    options::Options,
    patience::Patience,
    segments::{Segment, Segments, take_message},
    stream::ALL_EVENTS,
};

/// Longest datagram: 65,535 less the headers of UDP and IP (udp(7)).
const MESSAGE_MAX4: usize = 65_507;
/// The header of IPv6 does not count.
const MESSAGE_MAX6: usize = 65_527;

/// Hop limit of a packet that asks for none (`/proc/sys/net/ipv4/ip_default_ttl`).
const DEFAULT_TTL: i32 = 64;

/// A UDP socket.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Udp {
    me: OnceLock<Weak<Udp>>,
    namespace: Arc<Namespace>,
    options: Arc<Options>,
    queue: Arc<WaitQueue>,
    state: Mutex<State>,
}

#[derive(Debug, state::Save, state::Load, Default)]
struct State {
    bound: Option<(Claim, Local)>,
    remote: Option<SocketAddr>,
    inbox: Segments,
    error: Option<Errno>,
    deaf: bool,
    mute: bool,
}

impl Udp {
    /// An unconnected one.
    pub(crate) fn new(namespace: &Arc<Namespace>, options: Options) -> Arc<Self> {
        let state = State {
            bound: None,
            remote: None,
            inbox: Segments::new(namespace.charge()),
            error: None,
            deaf: false,
            mute: false,
        };
        let udp = Arc::new(Self {
            me: OnceLock::new(),
            namespace: Arc::clone(namespace),
            options: Arc::new(options),
            queue: Arc::default(),
            state: Mutex::new(state),
        });
        let _ = udp.me.set(Arc::downgrade(&udp));
        udp
    }

    fn me(&self) -> Weak<Self> {
        self.me.get().cloned().unwrap_or_default()
    }

    fn hold_port(&self, cx: &Ctx<'_>, local: Local, port: u16) -> Result<Claim, Errno> {
        let (reuse, share) = (self.options.reuse_address(), self.options.reuse_port());
        let wish = Wish { local, reuse, share, uid: cx.creds.euid };
        let now_ns = cx.fiber.sched().now_ns();
        let mut state = self.state.lock();
        if state.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let claim = self.namespace.udp_ports().bind(wish, port, now_ns, self.me())?;
        state.bound = Some((claim, local));
        Ok(claim)
    }

    /// Where its packets to `remote` come from. It gets a port if it has none.
    fn source(&self, cx: &Ctx<'_>, remote: SocketAddr) -> Result<SocketAddr, Errno> {
        let bound = self.state.lock().bound;
        let (claim, local) = match bound {
            Some(bound) => bound,
            None => {
                let local = Local::any(&self.options);
                match self.hold_port(cx, local, 0) {
                    Ok(claim) => (claim, local),
                    // Somebody else did it at the same time.
                    Err(Errno::EINVAL) => self.state.lock().bound.ok_or(Errno::EINVAL)?,
                    Err(_) => return Err(Errno::EADDRNOTAVAIL),
                }
            }
        };
        let ip = match local {
            Local::One(ip) => ip,
            _ => route::source(remote.ip()),
        };
        if ip.is_ipv4() != remote.is_ipv4() {
            return Err(Errno::ENETUNREACH);
        }
        Ok(SocketAddr::new(ip, claim.port))
    }

    fn receive(&self, message: Segment) {
        {
            let mut state = self.state.lock();
            // As a network does: what there is no room for is lost.
            if state.inbox.used() >= self.options.receive_buffer()
                || state.inbox.push(message).is_err()
            {
                return;
            }
        }
        self.queue.notify(POLLIN | POLLRDNORM);
    }

    /// What the receiver asked to be told of a packet.
    fn control(&self, message: &Segment) -> Control {
        let is_ipv6 = message.to.is_some_and(|ip| ip.is_ipv6());
        let asks = |v4: i32, v6: i32| {
            let (level, name) = if is_ipv6 { (IPPROTO_IPV6, v6) } else { (IPPROTO_IP, v4) };
            self.options.flag(level, name)
        };
        let as_mapped = self.options.flag(IPPROTO_IPV6, IPV6_RECVPKTINFO);
        let info = |to: IpAddr| {
            let to = match to {
                IpAddr::V4(ip) if as_mapped => IpAddr::V6(ip.to_ipv6_mapped()),
                ip => ip,
            };
            PacketInfo { to, interface: interface::INDEX }
        };
        let told = as_mapped || asks(IP_PKTINFO, IPV6_RECVPKTINFO);
        Control {
            packet_info: message.to.filter(|_| told).map(info),
            ttl: asks(IP_RECVTTL, IPV6_RECVHOPLIMIT).then_some(message.ttl),
            tos: asks(IP_RECVTOS, IPV6_RECVTCLASS).then_some(message.tos),
            is_ipv6,
            ..Control::default()
        }
    }

    /// Hop limit and traffic class of a packet to be sent; -1 means the default.
    fn marks(&self, is_ipv6: bool, out: &Outgoing) -> (i32, i32) {
        let (level, ttl, tos) = if is_ipv6 {
            (IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_TCLASS)
        } else {
            (IPPROTO_IP, IP_TTL, IP_TOS)
        };
        let ttl = out.ttl.unwrap_or_else(|| self.options.number(level, ttl));
        let tos = out.tos.unwrap_or_else(|| self.options.number(level, tos));
        (if ttl < 0 { DEFAULT_TTL } else { ttl }, tos.max(0))
    }

    fn take(&self, peek: bool) -> Result<Segment, Errno> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if peek && let Some(first) = state.inbox.front() {
            let mut copy = Segment::new(first.bytes().to_vec(), first.sender);
            copy.from.clone_from(&first.from);
            (copy.to, copy.ttl, copy.tos) = (first.to, first.ttl, first.tos);
            return Ok(copy);
        }
        match state.inbox.pop() {
            Some(message) => Ok(message),
            None if state.deaf => Err(Errno::ESHUTDOWN),
            None => Err(Errno::EAGAIN),
        }
    }
}

impl Transport for Udp {
    fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn poll(&self) -> u32 {
        let state = self.state.lock();
        let mut events = POLLOUT | POLLWRNORM | POLLWRBAND;
        if state.deaf || !state.inbox.is_empty() {
            events |= POLLIN | POLLRDNORM;
        }
        if state.deaf {
            events |= POLLRDHUP;
        }
        if state.deaf && state.mute {
            events |= POLLHUP;
        }
        if state.error.is_some() {
            events |= POLLERR;
        }
        events
    }

    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        let (local, port) = Local::parse(cx, &self.options, addr)?;
        self.hold_port(cx, local, port).map(|_| ())
    }

    fn connect(&self, cx: &Ctx<'_>, addr: &Address, _patience: Patience) -> Result<(), Errno> {
        let remote = match addr {
            Address::Unspecified => None,
            addr => {
                let remote = route::destination(&self.options, addr)?;
                self.source(cx, remote)?;
                Some(remote)
            }
        };
        let bound = {
            let mut state = self.state.lock();
            state.remote = remote;
            state.bound
        };
        if let Some((claim, _)) = bound {
            // Two may be connected alike: both are asked, the last one receives.
            let _ = self.namespace.udp_ports().set_remote(claim, remote);
        }
        Ok(())
    }

    fn send(&self, cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno> {
        out.no_control()?;
        let connected = {
            let mut state = self.state.lock();
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if state.mute {
                return Err(Errno::EPIPE);
            }
            state.remote
        };
        let remote = match &out.to {
            Some(Address::Unspecified) | None => connected.ok_or(Errno::EDESTADDRREQ)?,
            Some(addr) => route::destination(&self.options, addr)?,
        };
        if remote.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let local = self.source(cx, remote)?;
        let most = if remote.is_ipv4() { MESSAGE_MAX4 } else { MESSAGE_MAX6 };
        let mut message = Segment::new(take_message(src, most)?, caller(cx));
        let count = message.bytes().len();
        message.from = Some(Address::Inet(local));
        message.to = Some(remote.ip());
        (message.ttl, message.tos) = self.marks(remote.is_ipv6(), out);
        match self.namespace.udp_ports().find(remote, local) {
            Some(receiver) => receiver.receive(message),
            None if connected == Some(remote) => {
                // udp(7): the answer "port unreachable" reaches a connected socket.
                self.state.lock().error = Some(Errno::ECONNREFUSED);
                self.queue.notify(POLLERR | POLLIN | POLLRDNORM);
            }
            None => {}
        }
        Ok(count)
    }

    fn recv(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        let message = match self.take(how.peek) {
            Err(Errno::ESHUTDOWN) => return Ok(Received::default()),
            result => result?,
        };
        let bytes = message.bytes();
        let fits = bytes.len().min(dst.remaining());
        let count = dst.put(bytes.get(..fits).unwrap_or_default())?;
        let from = match message.from {
            Some(Address::Inet(from)) => Some(seen_by(self.options.domain, from)),
            _ => None,
        };
        Ok(Received {
            count: if how.trunc { bytes.len() } else { count },
            whole: bytes.len(),
            truncated: fits < bytes.len(),
            from,
            control: self.control(&message),
        })
    }

    fn shutdown(&self, _cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno> {
        let connected = {
            let mut state = self.state.lock();
            // Linux does it, and says so, even if it is not connected: it wakes readers.
            state.deaf |= how.read;
            state.mute |= how.write;
            state.remote.is_some()
        };
        self.queue.notify(ALL_EVENTS);
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn local(&self) -> Address {
        let state = self.state.lock();
        let any = Local::any(&self.options).ip(&self.options);
        let addr = match (state.bound, state.remote) {
            (None, _) => SocketAddr::new(any, 0),
            (Some((claim, Local::One(ip))), _) => SocketAddr::new(ip, claim.port),
            (Some((claim, _)), Some(remote)) => {
                SocketAddr::new(route::source(remote.ip()), claim.port)
            }
            (Some((claim, local)), None) => SocketAddr::new(local.ip(&self.options), claim.port),
        };
        seen_by(self.options.domain, addr)
    }

    fn peer(&self) -> Result<Address, Errno> {
        let remote = self.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(seen_by(self.options.domain, remote))
    }

    fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().inbox.front().map_or(0, |first| first.bytes().len()))
    }

    fn release(&self, _cx: &Ctx<'_>) {
        let bound = {
            let mut state = self.state.lock();
            state.inbox.clear();
            state.bound.take()
        };
        if let Some((claim, _)) = bound {
            self.namespace.udp_ports().release(claim, 0);
        }
    }
}
