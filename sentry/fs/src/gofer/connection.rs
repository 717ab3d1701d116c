//! Requests and answers over the socket to a Gofer.

use std::{
    collections::{BTreeMap, VecDeque},
    io::IoSlice,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Weak},
};

use abi::Errno;
use host::{HostFile, Reactor, Readiness, Ready, Stream, WatchId};
use p9::{NOTAG, RMessage, TMessage};
use sched::{Entity, Fiber, Mutex};

/// How much is received at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Descriptors that may wait for the answer they came with: they come with its first byte.
const FDS_MAX: usize = 2 * host::MAX_FDS;

/// An answer, and the descriptor that came with it.
pub(super) type Answer = (RMessage, Option<OwnedFd>);

/// A connection to a Gofer.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    state: Mutex<State>,
    /// What the socket had no room for yet.
    output: Mutex<VecDeque<u8>>,
    /// Only the I/O thread takes it.
    input: Mutex<Input>,
    reactor: Arc<Reactor>,
    watch: Mutex<Option<WatchId>>,
}

#[derive(Debug)]
struct State {
    waiting: BTreeMap<u16, Waiter>,
    next_tag: u16,
    /// The largest frame agreed on.
    msize: u32,
    /// The other side is gone, or speaks no sense.
    dead: bool,
}

#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

/// Who an answer is for.
#[derive(Debug)]
enum Waiter {
    Call(Arc<Call>),
    /// Nobody: the request was to forget something.
    Nobody,
}

/// A request whose answer a fiber waits for.
#[derive(Debug)]
pub(super) struct Call {
    entity: Arc<Entity>,
    answer: Mutex<Option<Result<Answer, Errno>>>,
}

impl Call {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// The answer's error number; `EIO` if the connection is lost.
    pub(super) fn wait(&self, fiber: &Fiber<'_>) -> Result<Answer, Errno> {
        loop {
            let answer = self.answer.lock().take();
            match answer {
                Some(Ok((RMessage::Lerror(error), _))) => {
                    let number = i32::try_from(error.ecode).unwrap_or(0);
                    return Err(Errno::from_raw(number));
                }
                Some(answer) => return answer,
                None => fiber.block_through(),
            }
        }
    }

    fn finish(&self, answer: Result<Answer, Errno>) {
        *self.answer.lock() = Some(answer);
        self.entity.wake();
    }
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, reactor: &Arc<Reactor>) -> Result<Arc<Self>, Errno> {
        let connection = Arc::new(Self {
            stream: Stream::new(socket)?,
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                next_tag: 0,
                msize: p9::DEFAULT_MSIZE,
                dead: false,
            }),
            output: Mutex::default(),
            input: Mutex::default(),
            reactor: Arc::clone(reactor),
            watch: Mutex::new(None),
        });
        let target = Arc::downgrade(&connection);
        let target: Weak<dyn Ready> = target;
        let watch = reactor.watch(connection.stream.as_fd(), target).map_err(|_| Errno::EIO)?;
        *connection.watch.lock() = Some(watch);
        Ok(connection)
    }

    pub(super) fn msize(&self) -> u32 {
        self.state.lock().msize
    }

    pub(super) fn set_msize(&self, msize: u32) {
        self.state.lock().msize = msize;
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// The answer's error number; `EIO` if the connection is lost.
    pub(super) fn call(
        &self,
        fiber: &Fiber<'_>,
        request: impl Into<TMessage>,
    ) -> Result<Answer, Errno> {
        self.start(fiber, request)?.wait(fiber)
    }

    /// Sends a request whose answer the same fiber waits for later.
    ///
    /// # Errors
    ///
    /// `EIO` if the connection is lost.
    pub(super) fn start(
        &self,
        fiber: &Fiber<'_>,
        request: impl Into<TMessage>,
    ) -> Result<Arc<Call>, Errno> {
        let call = Arc::new(Call { entity: Arc::clone(fiber.entity()), answer: Mutex::new(None) });
        self.send(&request.into(), Waiter::Call(Arc::clone(&call)))?;
        Ok(call)
    }

    /// Sends a request whose answer does not matter.
    pub(super) fn tell(&self, request: impl Into<TMessage>) {
        // A connection that is lost has forgotten everything already.
        let _ = self.send(&request.into(), Waiter::Nobody);
    }

    fn send(&self, request: &TMessage, waiter: Waiter) -> Result<(), Errno> {
        let (tag, msize) = self.enlist(request, waiter)?;
        let mut frame = Vec::new();
        let encoded = request.encode(tag, &mut frame);
        let fits = u32::try_from(frame.len()).is_ok_and(|len| len <= msize);
        if encoded.is_err() || !fits {
            self.state.lock().waiting.remove(&tag);
            return Err(Errno::ENAMETOOLONG);
        }
        let mut output = self.output.lock();
        output.extend(frame);
        let flushed = self.flush(&mut output);
        drop(output);
        if flushed.is_err() {
            self.die();
        }
        Ok(())
    }

    /// Finds a free tag for a request.
    fn enlist(&self, request: &TMessage, waiter: Waiter) -> Result<(u16, u32), Errno> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EIO);
        }
        let tag = if matches!(request, TMessage::Version(_)) {
            NOTAG
        } else {
            let from = state.next_tag;
            let mut tags = (from..NOTAG).chain(0..from);
            let free = tags.find(|tag| !state.waiting.contains_key(tag)).ok_or(Errno::EAGAIN)?;
            state.next_tag = free.wrapping_add(1) % NOTAG;
            free
        };
        state.waiting.insert(tag, waiter);
        Ok((tag, state.msize))
    }

    /// Sends as much as the socket takes.
    fn flush(&self, output: &mut VecDeque<u8>) -> Result<(), Errno> {
        while !output.is_empty() {
            let (front, back) = output.as_slices();
            match self.stream.send(&[IoSlice::new(front), IoSlice::new(back)], &[]) {
                Ok(count) => drop(output.drain(..count)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives and delivers all that is there.
    fn pump(&self) -> Result<(), Errno> {
        let mut input = self.input.lock();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let mut fds = Vec::new();
            match self.stream.receive(&mut piece, &mut fds) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => {
                    input.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
                    input.fds.extend(fds);
                    self.deliver(&mut input)?;
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Delivers the whole frames of the input.
    fn deliver(&self, input: &mut Input) -> Result<(), Errno> {
        let msize = self.msize();
        let mut start = 0;
        loop {
            let rest = input.bytes.get(start..).unwrap_or_default();
            let size = p9::frame_size(rest, msize).map_err(|_| Errno::EIO)?;
            let Some(frame) = size.and_then(|size| rest.get(..size)) else { break };
            start += frame.len();
            let (tag, message) = RMessage::decode(frame).map_err(|_| Errno::EIO)?;
            let fd = if message.carries_fd() { input.fds.pop_front() } else { None };
            let waiter = self.state.lock().waiting.remove(&tag);
            match waiter {
                Some(Waiter::Call(call)) => call.finish(Ok((message, fd))),
                Some(Waiter::Nobody) => {}
                None => return Err(Errno::EIO),
            }
        }
        input.bytes.drain(..start);
        if input.fds.len() > FDS_MAX { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Gives the connection up: every request fails.
    fn die(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.dead = true;
            std::mem::take(&mut state.waiting)
        };
        for waiter in waiting.into_values() {
            if let Waiter::Call(call) = waiter {
                call.finish(Err(Errno::EIO));
            }
        }
    }
}

impl Ready for Connection {
    fn ready(&self, readiness: Readiness) {
        let mut result = Ok(());
        if readiness.writable {
            result = self.flush(&mut self.output.lock());
        }
        if readiness.readable || readiness.closed || readiness.error || readiness.read_closed {
            result = result.and(self.pump());
        }
        if let Err(error) = result {
            tracing::debug!(%error, "connection to a gofer ended");
            self.die();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get_mut().take() {
            self.reactor.unwatch(watch, self.stream.as_fd());
        }
    }
}

/// The file that came with an answer.
pub(super) fn host_file(fd: Option<OwnedFd>, writable: bool) -> Option<Arc<HostFile>> {
    fd.map(|fd| Arc::new(HostFile::new(fd, writable)))
}
