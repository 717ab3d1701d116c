//! `SOCK_STREAM` and `SOCK_SEQPACKET`.

use std::sync::{Arc, OnceLock, Weak};

use abi::{
    Errno,
    fs::poll::{POLLHUP, POLLOUT, POLLWRBAND, POLLWRNORM},
    socket::{Ucred, family::AF_UNIX, kind::SOCK_STREAM, level::SOL_SOCKET, so::SO_PASSCRED},
};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, OpenFile, Src};

use super::{
    bound::Bound,
    listener::{Incoming, Listener},
};
use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Shutdown, Transport, UnixName,
    message::caller,
    options::Options,
    patience::Patience,
    stream::{End, EndParts, Flavor, pair},
};

/// A connection-based Unix socket.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Stream {
    me: OnceLock<Weak<Stream>>,
    namespace: Arc<Namespace>,
    options: Arc<Options>,
    queue: Arc<WaitQueue>,
    bound: Bound,
    state: Mutex<State>,
}

/// The names at both sides of a connection.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct Endpoints {
    peer: UnixName,
    /// That of the listener, for one that was accepted and not bound itself.
    own: UnixName,
}

#[derive(Clone, Debug, state::Save, state::Load, Default)]
enum State {
    #[default]
    Idle,
    Listening(Arc<Listener>),
    Connected(Arc<End>, Arc<Endpoints>),
    Closed,
}

impl Stream {
    /// An unconnected one; `kind` is `SOCK_STREAM` or `SOCK_SEQPACKET`.
    pub(crate) fn new(namespace: &Arc<Namespace>, kind: u32) -> Arc<Self> {
        let options = Arc::new(Options::new(AF_UNIX, kind, 0));
        Self::with(namespace, options, Arc::default(), State::Idle)
    }

    fn with(
        namespace: &Arc<Namespace>,
        options: Arc<Options>,
        queue: Arc<WaitQueue>,
        state: State,
    ) -> Arc<Self> {
        let stream = Arc::new(Self {
            me: OnceLock::new(),
            namespace: Arc::clone(namespace),
            options,
            queue,
            bound: Bound::default(),
            state: Mutex::new(state),
        });
        let _ = stream.me.set(Arc::downgrade(&stream));
        stream
    }

    /// socketpair(2).
    pub(crate) fn pair(
        cx: &Ctx<'_>,
        namespace: &Arc<Namespace>,
        kind: u32,
    ) -> (Arc<Self>, Arc<Self>) {
        let sockets = (Self::new(namespace, kind), Self::new(namespace, kind));
        let me = caller(cx);
        let (a, b) = pair(namespace, flavor(kind), sockets.0.parts(me), sockets.1.parts(me));
        for (socket, end) in [(&sockets.0, a), (&sockets.1, b)] {
            *socket.state.lock() = State::Connected(end, Arc::default());
        }
        sockets
    }

    fn parts(&self, peer_credentials: Ucred) -> EndParts {
        let (options, queue) = (Arc::clone(&self.options), Arc::clone(&self.queue));
        EndParts { options, queue, peer_credentials }
    }

    fn weak(&self) -> Weak<dyn Transport> {
        let me: Weak<Self> = self.me.get().cloned().unwrap_or_default();
        me
    }

    fn state(&self) -> State {
        self.state.lock().clone()
    }

    fn end(&self) -> Result<Arc<End>, Errno> {
        match self.state() {
            State::Connected(end, ..) => Ok(end),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn listener(&self) -> Result<Arc<Listener>, Errno> {
        match self.state() {
            State::Listening(listener) => Ok(listener),
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    /// Puts one end into the queue of `listener` and keeps the other.
    fn join(&self, cx: &Ctx<'_>, target: &Self, listener: &Listener) -> Result<(), Errno> {
        let options = Options::new(AF_UNIX, self.options.kind, 0);
        // unix(7): a connection takes this one setting over from the listener.
        options.store(SOL_SOCKET, SO_PASSCRED, i32::from(target.options.pass_credentials()));
        let server = EndParts {
            options: Arc::new(options),
            queue: Arc::default(),
            peer_credentials: caller(cx),
        };
        let client = self.parts(listener.credentials);
        let (mine, theirs) = pair(&self.namespace, flavor(self.options.kind), client, server);
        let name = self.bound.name();
        {
            let mut state = self.state.lock();
            match *state {
                State::Idle => {}
                State::Connected(..) => return Err(Errno::EISCONN),
                _ => return Err(Errno::EINVAL),
            }
            listener.push(Incoming { end: theirs, name })?;
            let names = Endpoints { peer: target.bound.name(), own: UnixName::Unnamed };
            *state = State::Connected(mine, Arc::new(names));
        }
        listener.tell();
        Ok(())
    }
}

fn flavor(kind: u32) -> Flavor {
    if kind == SOCK_STREAM { Flavor::UnixStream } else { Flavor::UnixMessages }
}

impl Transport for Stream {
    fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn poll(&self) -> u32 {
        match self.state() {
            State::Connected(end, ..) => end.poll(),
            State::Listening(listener) => listener.poll(),
            State::Idle | State::Closed => POLLOUT | POLLWRNORM | POLLWRBAND | POLLHUP,
        }
    }

    fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        self.bound.bind(cx, &self.namespace, &self.weak(), addr)
    }

    fn listen(&self, cx: &Ctx<'_>, backlog: usize) -> Result<(), Errno> {
        if !self.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        match &*state {
            State::Idle => {
                *state = State::Listening(Listener::new(&self.queue, backlog, caller(cx)));
                Ok(())
            }
            State::Listening(listener) => {
                let listener = Arc::clone(listener);
                drop(state);
                listener.set_backlog(backlog);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn accept(&self, _cx: &Ctx<'_>) -> Result<Arc<dyn Transport>, Errno> {
        let State::Listening(listener) = self.state() else { return Err(Errno::EINVAL) };
        let incoming = listener.pop()?;
        let end = incoming.end;
        let (options, queue) = (Arc::clone(&end.options), Arc::clone(&end.queue));
        let names = Endpoints { peer: incoming.name, own: self.bound.name() };
        let state = State::Connected(end, Arc::new(names));
        Ok(Self::with(&self.namespace, options, queue, state))
    }

    fn connect(&self, cx: &Ctx<'_>, addr: &Address, patience: Patience) -> Result<(), Errno> {
        let Address::Unix(name) = addr else { return Err(Errno::EINVAL) };
        let target: Arc<Self> = self.namespace.names().find_kind(cx, name, self.options.kind)?;
        loop {
            match self.state() {
                State::Idle => {}
                State::Connected(..) => return Err(Errno::EISCONN),
                _ => return Err(Errno::EINVAL),
            }
            let listener = target.listener()?;
            match self.join(cx, &target, &listener) {
                Err(Errno::EAGAIN) => listener.wait_for_room(cx, &patience)?,
                result => return result,
            }
        }
    }

    fn send(&self, cx: &Ctx<'_>, src: &mut dyn Src, out: &mut Outgoing) -> Result<usize, Errno> {
        if out.to.is_some() {
            let connected = self.end().is_ok();
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        self.end()?.send(cx, src, out)
    }

    fn recv(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, how: RecvHow) -> Result<Received, Errno> {
        let State::Connected(end, names) = self.state() else {
            let stream = self.options.kind == SOCK_STREAM;
            return Err(if stream { Errno::EINVAL } else { Errno::ENOTCONN });
        };
        let mut received = end.recv(cx, dst, how)?;
        received.from = names.peer.clone().given();
        Ok(received)
    }

    fn is_stream(&self) -> bool {
        self.options.kind == SOCK_STREAM
    }

    fn shutdown(&self, cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno> {
        match self.state() {
            State::Connected(end, ..) => end.shutdown(how),
            State::Listening(listener) if how.read => listener.close(cx),
            // Linux lets one that is not connected be shut; here nothing comes of it.
            State::Listening(_) | State::Idle | State::Closed => {}
        }
        Ok(())
    }

    fn local(&self) -> Address {
        let own = self.bound.name();
        Address::Unix(match (own, self.state()) {
            (UnixName::Unnamed, State::Connected(_, names)) => names.own.clone(),
            (own, _) => own,
        })
    }

    fn peer(&self) -> Result<Address, Errno> {
        match self.state() {
            State::Connected(_, names) => Ok(Address::Unix(names.peer.clone())),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn take_error(&self) -> Option<Errno> {
        self.end().ok()?.take_error()
    }

    fn listening(&self) -> bool {
        self.listener().is_ok()
    }

    fn peer_credentials(&self) -> Option<Ucred> {
        match self.state() {
            State::Connected(end, ..) => Some(end.peer_credentials),
            State::Listening(listener) => Some(listener.credentials),
            _ => None,
        }
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        match self.state() {
            State::Connected(end, ..) => Ok(end.readable_bytes()),
            State::Listening(_) => Err(Errno::EINVAL),
            _ => Ok(0),
        }
    }

    fn unsent_bytes(&self) -> Result<usize, Errno> {
        match self.state() {
            State::Connected(end, ..) => Ok(end.unsent_bytes()),
            State::Listening(_) => Err(Errno::EINVAL),
            _ => Ok(0),
        }
    }

    fn release(&self, cx: &Ctx<'_>) {
        self.bound.release(&self.namespace);
        let old = std::mem::replace(&mut *self.state.lock(), State::Closed);
        match old {
            State::Connected(end, ..) => {
                end.close(cx, false);
            }
            State::Listening(listener) => listener.close(cx),
            State::Idle | State::Closed => {}
        }
    }

    fn visit_rights(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        match self.state() {
            State::Connected(end, ..) => end.visit_rights(visit),
            State::Listening(listener) => listener.visit_rights(visit),
            State::Idle | State::Closed => {}
        }
    }

    fn take_rights(&self) -> Vec<Arc<OpenFile>> {
        match self.state() {
            State::Connected(end, ..) => end.take_rights(),
            State::Listening(listener) => {
                listener.ends().iter().flat_map(|end| end.take_rights()).collect()
            }
            State::Idle | State::Closed => Vec::new(),
        }
    }

    fn is_unix(&self) -> bool {
        true
    }
}
