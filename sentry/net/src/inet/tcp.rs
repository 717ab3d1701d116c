//! TCP sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
};

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM},
    socket::{Ucred, tcp_state},
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, Src};

use super::{
    TcpListener,
    listener::Incoming,
    local::Local,
    ports::{Claim, Wish},
    route,
};
use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Shutdown, Transport,
    address::seen_by,
    options::Options,
    patience::Patience,
    stream::{ALL_EVENTS, End, EndParts, Flavor, pair},
};

/// How long a closed connection keeps its port (TIME-WAIT, tcp(7)).
const TIME_WAIT_NS: u64 = 60_000_000_000;

/// A TCP socket.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Tcp {
    me: OnceLock<Weak<Tcp>>,
    namespace: Arc<Namespace>,
    options: Arc<Options>,
    queue: Arc<WaitQueue>,
    state: Mutex<State>,
}

#[derive(Debug, state::Save, state::Load, Default)]
struct State {
    bound: Option<Bound>,
    phase: Phase,
    error: Option<Errno>,
}

/// The port it holds. One that was accepted holds none itself.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Bound {
    claim: Claim,
    local: Local,
    /// By connect(2), not by bind(2): given back if that fails.
    automatic: bool,
}

#[derive(Clone, Debug, state::Save, state::Load, Default)]
enum Phase {
    #[default]
    Idle,
    Listening(Arc<TcpListener>),
    /// SYN-SENT: the listener has no room yet.
    Waiting(Pair),
    Connected(Connection),
    Closed,
}

/// Where a connection is from and to.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Pair {
    local: SocketAddr,
    remote: SocketAddr,
}

#[derive(Clone, Debug, state::Save, state::Load)]
struct Connection {
    end: Arc<End>,
    pair: Pair,
    /// connect(2) has not told of it yet.
    fresh: bool,
    accepted: bool,
}

impl Tcp {
    /// An unconnected one.
    pub(crate) fn new(namespace: &Arc<Namespace>, options: Options) -> Arc<Self> {
        Self::with(namespace, Arc::new(options), Arc::default(), Phase::Idle)
    }

    fn with(
        namespace: &Arc<Namespace>,
        options: Arc<Options>,
        queue: Arc<WaitQueue>,
        phase: Phase,
    ) -> Arc<Self> {
        let tcp = Arc::new(Self {
            me: OnceLock::new(),
            namespace: Arc::clone(namespace),
            options,
            queue,
            state: Mutex::new(State { bound: None, phase, error: None }),
        });
        let _ = tcp.me.set(Arc::downgrade(&tcp));
        tcp
    }

    fn me(&self) -> Weak<Self> {
        self.me.get().cloned().unwrap_or_default()
    }

    fn phase(&self) -> Phase {
        self.state.lock().phase.clone()
    }

    fn connection(&self) -> Result<Connection, Errno> {
        match self.phase() {
            Phase::Connected(connection) => Ok(connection),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn wish(&self, cx: &Ctx<'_>, local: Local) -> Wish {
        let (reuse, share) = (self.options.reuse_address(), self.options.reuse_port());
        Wish { local, reuse, share, uid: cx.creds.euid }
    }

    /// Holds a port to connect from, unless there is one.
    fn hold_port(&self, cx: &Ctx<'_>, remote: SocketAddr) -> Result<Pair, Errno> {
        let bound = self.state.lock().bound;
        let now_ns = cx.fiber.sched().now_ns();
        let bound = match bound {
            Some(bound) => bound,
            None => {
                let local = Local::One(route::source(remote.ip()));
                let claim =
                    self.namespace.tcp_ports().bind_to_connect(self.wish(cx, local), now_ns)?;
                let bound = Bound { claim, local, automatic: true };
                self.state.lock().bound = Some(bound);
                bound
            }
        };
        let ip = match bound.local {
            Local::One(ip) => ip,
            _ => route::source(remote.ip()),
        };
        if ip.is_ipv4() != remote.is_ipv4() || !bound.local.has(ip) {
            return Err(Errno::ENETUNREACH);
        }
        self.namespace.tcp_ports().set_remote(bound.claim, Some(remote))?;
        Ok(Pair { local: SocketAddr::new(ip, bound.claim.port), remote })
    }

    /// A connection was not made: it is as before.
    fn give_up(&self) {
        let bound = {
            let mut state = self.state.lock();
            if let Phase::Waiting(_) = state.phase {
                state.phase = Phase::Idle;
            }
            let automatic = state.bound.filter(|bound| bound.automatic);
            match automatic {
                Some(_) => state.bound.take(),
                None => state.bound,
            }
        };
        match bound {
            Some(bound) if bound.automatic => self.namespace.tcp_ports().release(bound.claim, 0),
            Some(bound) => {
                let _ = self.namespace.tcp_ports().set_remote(bound.claim, None);
            }
            None => {}
        }
    }

    /// Puts one end into the queue of `listener` and keeps the other.
    fn join(&self, listener: &TcpListener, from_to: Pair, fresh: bool) -> Result<(), Errno> {
        let nobody = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let client = EndParts {
            options: Arc::clone(&self.options),
            queue: Arc::clone(&self.queue),
            peer_credentials: nobody,
        };
        let server = EndParts {
            options: Arc::new(listener.options.inherited()),
            queue: Arc::default(),
            peer_credentials: nobody,
        };
        let (mine, theirs) = pair(&self.namespace, Flavor::Tcp, client, server);
        {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Idle | Phase::Waiting(_) => {}
                _ => return Err(Errno::EISCONN),
            }
            let Pair { local, remote } = from_to;
            listener.push(Incoming { end: theirs, local: remote, remote: local })?;
            let connection = Connection { end: mine, pair: from_to, fresh, accepted: false };
            state.phase = Phase::Connected(connection);
        }
        listener.tell();
        Ok(())
    }

    /// There may be room for this one, which has waited.
    pub(super) fn let_in(&self, listener: &TcpListener) {
        let Phase::Waiting(from_to) = self.phase() else { return };
        match self.join(listener, from_to, true) {
            Ok(()) => self.queue.notify(ALL_EVENTS),
            Err(Errno::EAGAIN) if listener.enqueue(self.me()).is_ok() => {}
            Err(_) => self.refuse(),
        }
    }

    /// Nobody listens (any more).
    pub(super) fn refuse(&self) {
        self.give_up();
        self.state.lock().error = Some(Errno::ECONNREFUSED);
        self.queue.notify(ALL_EVENTS);
    }

    /// The first steps of connect(2): true if it is done already.
    fn goes_on(&self) -> Result<bool, Errno> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        match &mut state.phase {
            Phase::Idle | Phase::Waiting(_) => Ok(false),
            Phase::Connected(connection) if connection.fresh => {
                connection.fresh = false;
                Ok(true)
            }
            Phase::Connected(_) | Phase::Listening(_) => Err(Errno::EISCONN),
            Phase::Closed => Err(Errno::EINVAL),
        }
    }

    fn start(&self, cx: &Ctx<'_>, addr: &Address, fresh: bool) -> Result<(), Errno> {
        let remote = route::destination(&self.options, addr)?;
        let from_to = self.hold_port(cx, remote)?;
        let found = self.namespace.tcp_ports().find(from_to.remote, from_to.local);
        let listener = found.ok_or(Errno::ECONNREFUSED)?;
        match self.join(&listener, from_to, fresh) {
            Err(Errno::EAGAIN) => {
                {
                    let mut state = self.state.lock();
                    if !matches!(state.phase, Phase::Idle) {
                        return Err(Errno::EALREADY);
                    }
                    state.phase = Phase::Waiting(from_to);
                }
                listener.enqueue(self.me())?;
                // It may have become free in between.
                self.let_in(&listener);
                Ok(())
            }
            result => result,
        }
    }

    fn disconnect(&self, cx: &Ctx<'_>) {
        let connection = {
            let mut state = self.state.lock();
            match &state.phase {
                Phase::Connected(connection) if !connection.accepted => {
                    let connection = connection.clone();
                    state.phase = Phase::Idle;
                    Some(connection)
                }
                _ => None,
            }
        };
        if let Some(connection) = connection {
            connection.end.close(cx, true);
        }
        self.give_up();
    }

    fn close_connection(&self, cx: &Ctx<'_>, connection: &Connection) -> u64 {
        let reset = self.options.linger() == Some(0);
        let waits = connection.end.close(cx, reset);
        let quiet = if waits { cx.fiber.sched().now_ns() + TIME_WAIT_NS } else { 0 };
        if connection.accepted {
            let port = connection.pair.local.port();
            self.namespace.tcp_ports().closed(port, quiet, self.options.reuse_address());
        }
        quiet
    }
}

impl Transport for Tcp {
    fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn poll(&self) -> u32 {
        let error = self.state.lock().error.is_some();
        match self.phase() {
            Phase::Connected(connection) => connection.end.poll(),
            Phase::Listening(listener) => listener.poll(),
            Phase::Waiting(_) => 0,
            Phase::Idle | Phase::Closed if error => {
                POLLOUT | POLLWRNORM | POLLHUP | POLLERR | POLLIN | POLLRDNORM | POLLRDHUP
            }
            Phase::Idle | Phase::Closed => POLLOUT | POLLWRNORM | POLLHUP,
        }
    }

    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        let (local, port) = Local::parse(cx, &self.options, addr)?;
        let mut state = self.state.lock();
        if state.bound.is_some() || !matches!(state.phase, Phase::Idle) {
            return Err(Errno::EINVAL);
        }
        let (wish, now_ns) = (self.wish(cx, local), cx.fiber.sched().now_ns());
        let claim = self.namespace.tcp_ports().bind(wish, port, now_ns, Weak::new())?;
        state.bound = Some(Bound { claim, local, automatic: false });
        Ok(())
    }

    fn listen(&self, cx: &Ctx<'_>, backlog: usize) -> Result<(), Errno> {
        let (now_ns, local) = (cx.fiber.sched().now_ns(), Local::any(&self.options));
        let ports = self.namespace.tcp_ports();
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Idle => {}
            Phase::Listening(listener) => {
                let listener = Arc::clone(listener);
                drop(state);
                listener.set_backlog(backlog);
                return Ok(());
            }
            _ => return Err(Errno::EINVAL),
        }
        let bound = match state.bound {
            Some(bound) => bound,
            None => {
                let claim = ports.bind(self.wish(cx, local), 0, now_ns, Weak::new())?;
                Bound { claim, local, automatic: false }
            }
        };
        state.bound = Some(bound);
        let listener = TcpListener::new(&self.namespace, &self.queue, &self.options, backlog);
        ports.listen(bound.claim, &listener)?;
        state.phase = Phase::Listening(listener);
        Ok(())
    }

    fn accept(&self, _cx: &Ctx<'_>) -> Result<Arc<dyn Transport>, Errno> {
        let Phase::Listening(listener) = self.phase() else { return Err(Errno::EINVAL) };
        let Incoming { end, local, remote } = listener.pop()?;
        let (options, queue) = (Arc::clone(&end.options), Arc::clone(&end.queue));
        let pair = Pair { local, remote };
        let phase = Phase::Connected(Connection { end, pair, fresh: false, accepted: true });
        Ok(Self::with(&self.namespace, options, queue, phase))
    }

    fn connect(&self, cx: &Ctx<'_>, addr: &Address, patience: Patience) -> Result<(), Errno> {
        if *addr == Address::Unspecified {
            self.disconnect(cx);
            return Ok(());
        }
        if self.goes_on()? {
            return Ok(());
        }
        if matches!(self.phase(), Phase::Waiting(_)) {
            if patience.nonblocking {
                return Err(Errno::EALREADY);
            }
        } else if let Err(error) = self.start(cx, addr, true) {
            if !matches!(error, Errno::EALREADY | Errno::EISCONN) {
                self.give_up();
            }
            if error != Errno::ECONNREFUSED || !patience.nonblocking {
                return Err(error);
            }
            // The answer comes later to one who does not wait for it.
            self.state.lock().error = Some(error);
            self.queue.notify(ALL_EVENTS);
        }
        if patience.nonblocking {
            return Err(Errno::EINPROGRESS);
        }
        let ready = || !matches!(self.phase(), Phase::Waiting(_));
        match patience.wait(cx, &self.queue, ALL_EVENTS, ready) {
            Err(Errno::EAGAIN) => return Err(Errno::EINPROGRESS),
            result => result?,
        }
        match self.goes_on() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Errno::ECONNABORTED),
            Err(error) => Err(error),
        }
    }

    fn send(&self, cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno> {
        out.no_control()?;
        let error = self.state.lock().error.take();
        if let Some(error) = error {
            return Err(error);
        }
        match self.phase() {
            Phase::Connected(connection) => connection.end.send(cx, src, out),
            Phase::Waiting(_) => Err(Errno::EAGAIN),
            _ => Err(Errno::EPIPE),
        }
    }

    fn recv(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        match self.phase() {
            Phase::Connected(connection) => {
                let mut received = connection.end.recv(cx, dst, how)?;
                received.control.credentials = None;
                Ok(received)
            }
            Phase::Waiting(_) => Err(Errno::EAGAIN),
            _ => Err(self.take_error().unwrap_or(Errno::ENOTCONN)),
        }
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn shutdown(&self, cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno> {
        match self.phase() {
            Phase::Connected(connection) if connection.end.is_over() => {
                return Err(Errno::ENOTCONN);
            }
            Phase::Connected(connection) => connection.end.shutdown(how),
            Phase::Listening(listener) if how.read => {
                let bound = {
                    let mut state = self.state.lock();
                    state.phase = Phase::Idle;
                    state.bound
                };
                if let Some(bound) = bound {
                    self.namespace.tcp_ports().stop_listening(bound.claim);
                }
                listener.close(cx);
            }
            Phase::Listening(_) => {}
            Phase::Waiting(_) => self.give_up(),
            Phase::Idle | Phase::Closed => return Err(Errno::ENOTCONN),
        }
        Ok(())
    }

    fn local(&self) -> Address {
        let state = self.state.lock();
        let addr = match (&state.phase, state.bound) {
            (Phase::Connected(connection), _) => connection.pair.local,
            (Phase::Waiting(pair), _) => pair.local,
            (_, Some(bound)) => SocketAddr::new(bound.local.ip(&self.options), bound.claim.port),
            (_, None) => SocketAddr::new(Local::any(&self.options).ip(&self.options), 0),
        };
        seen_by(self.options.domain, addr)
    }

    fn peer(&self) -> Result<Address, Errno> {
        let connection = self.connection()?;
        if connection.end.is_over() {
            return Err(Errno::ENOTCONN);
        }
        Ok(seen_by(self.options.domain, connection.pair.remote))
    }

    fn take_error(&self) -> Option<Errno> {
        let error = self.state.lock().error.take();
        error.or_else(|| self.connection().ok()?.end.take_error())
    }

    fn listening(&self) -> bool {
        matches!(self.phase(), Phase::Listening(_))
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        match self.phase() {
            Phase::Connected(connection) => Ok(connection.end.readable_bytes()),
            Phase::Listening(_) => Err(Errno::EINVAL),
            _ => Ok(0),
        }
    }

    fn unsent_bytes(&self) -> Result<usize, Errno> {
        match self.phase() {
            Phase::Connected(connection) => Ok(connection.end.unsent_bytes()),
            Phase::Listening(_) => Err(Errno::EINVAL),
            _ => Ok(0),
        }
    }

    fn tcp_state(&self) -> u8 {
        match self.phase() {
            Phase::Connected(connection) => connection.end.tcp_state(),
            Phase::Listening(_) => tcp_state::TCP_LISTEN,
            Phase::Waiting(_) => tcp_state::TCP_SYN_SENT,
            Phase::Idle | Phase::Closed => tcp_state::TCP_CLOSE,
        }
    }

    fn release(&self, cx: &Ctx<'_>) {
        let (phase, bound) = {
            let mut state = self.state.lock();
            (std::mem::replace(&mut state.phase, Phase::Closed), state.bound.take())
        };
        let quiet_until_ns = match phase {
            Phase::Connected(connection) => self.close_connection(cx, &connection),
            Phase::Listening(listener) => {
                listener.close(cx);
                0
            }
            Phase::Idle | Phase::Waiting(_) | Phase::Closed => 0,
        };
        if let Some(bound) = bound {
            self.namespace.tcp_ports().release(bound.claim, quiet_until_ns);
        }
    }
}
