//! A client for the tests: one request at a time, with the descriptors that come with answers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails ends the test")]
#![allow(dead_code, clippy::allow_attributes, reason = "no test file needs all of it")]

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use gofer::{Attach, Config, GoferError, Limits};
use p9::{
    Attr, AttrMask, Dialect, NOFID, OpenFlags, OpenHow, RMessage, Str, TMessage, Tattach, Tgetattr,
    Tversion, Twalk, Twalkx, WalkStep, frame_size,
};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The fid of the root in every test.
pub(crate) const ROOT: u32 = 0;

/// A server in threads of this process.
pub(crate) struct Server(Option<JoinHandle<Result<(), GoferError>>>);

impl Drop for Server {
    /// The client was dropped before (or is about to be closed by the test's end).
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Starts a server for `root`; the socket is the client's end.
pub(crate) fn start(root: &Path, readonly: bool, limits: Limits) -> (UnixStream, Server) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // A server that hangs fails the test.
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let config = config(root, readonly, limits, theirs.into());
    let thread = std::thread::spawn(move || gofer::serve(config));
    (ours, Server(Some(thread)))
}

/// What the server is given in all tests.
pub(crate) fn config(root: &Path, readonly: bool, limits: Limits, socket: OwnedFd) -> Config {
    let path = OFlags::PATH | OFlags::CLOEXEC;
    let root = open(root, path, Mode::empty()).unwrap();
    let proc_fd = open("/proc/self/fd", path | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let attach = Attach { name: "/data".into(), root, readonly, socket };
    Config { attaches: vec![attach], proc_fd, limits, confine: false }
}

/// A client with a session.
pub(crate) struct Client {
    pub(crate) socket: UnixStream,
    buffer: Vec<u8>,
    fds: VecDeque<OwnedFd>,
    pub(crate) msize: u32,
    // Last, so that the socket is closed before the server is waited for.
    _server: Option<Server>,
}

/// A session in `dialect` with `root` as fid `ROOT`.
pub(crate) fn connect(root: &Path, dialect: Dialect) -> Client {
    let (socket, server) = start(root, false, Limits::default());
    Client::on(socket, Some(server), dialect)
}

/// The same, read-only.
pub(crate) fn connect_readonly(root: &Path, dialect: Dialect) -> Client {
    let (socket, server) = start(root, true, Limits::default());
    Client::on(socket, Some(server), dialect)
}

impl Client {
    /// Negotiates and attaches.
    pub(crate) fn on(socket: UnixStream, server: Option<Server>, dialect: Dialect) -> Self {
        let mut client = Self::raw(socket, server);
        client.begin(dialect, p9::DEFAULT_MSIZE);
        client
    }

    /// A client that has said nothing yet.
    pub(crate) fn raw(socket: UnixStream, server: Option<Server>) -> Self {
        let (buffer, fds) = (Vec::new(), VecDeque::new());
        Self { socket, buffer, fds, msize: p9::MAX_MSIZE, _server: server }
    }

    pub(crate) fn begin(&mut self, dialect: Dialect, msize: u32) {
        let version = text(dialect.version());
        let RMessage::Version(agreed) = self.ask(Tversion { msize, version }) else {
            panic!("no version")
        };
        assert_eq!(Dialect::agreed(&agreed.version), Some(dialect));
        self.msize = agreed.msize;
        let attach = Tattach { fid: ROOT, afid: NOFID, n_uname: NOFID, ..Tattach::default() };
        self.done(attach);
    }

    pub(crate) fn send(&mut self, tag: u16, question: impl Into<TMessage>) {
        let mut frame = Vec::new();
        question.into().encode(tag, &mut frame).unwrap();
        self.socket.write_all(&frame).unwrap();
    }

    /// Reads an answer; `None` if the server closed the connection.
    pub(crate) fn receive(&mut self) -> Option<(u16, RMessage)> {
        loop {
            let size = frame_size(&self.buffer, self.msize).unwrap();
            if let Some(size) = size.filter(|size| *size <= self.buffer.len()) {
                let rest = self.buffer.split_off(size);
                let frame = std::mem::replace(&mut self.buffer, rest);
                return Some(RMessage::decode(&frame).unwrap());
            }
            let mut piece = vec![0; 1 << 16];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut iov = [IoSliceMut::new(&mut piece)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let got = recvmsg(self.socket.as_fd(), &mut iov, &mut control, flags);
            let got = match got {
                Err(rustix::io::Errno::CONNRESET) => return None,
                got => got.unwrap().bytes,
            };
            if got == 0 {
                return None;
            }
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            self.buffer.extend_from_slice(&piece[..got]);
        }
    }

    pub(crate) fn ask(&mut self, question: impl Into<TMessage>) -> RMessage {
        self.send(7, question);
        let (tag, answer) = self.receive().expect("an answer");
        assert_eq!(tag, 7);
        assert_eq!(answer.carries_fd(), !self.fds.is_empty(), "{answer:?}");
        answer
    }

    /// An answer that must be no error.
    pub(crate) fn done(&mut self, question: impl Into<TMessage>) -> RMessage {
        let question = question.into();
        let answer = self.ask(question.clone());
        assert!(!matches!(answer, RMessage::Lerror(_)), "{answer:?} to {question:?}");
        answer
    }

    /// The error number that a request must end in.
    pub(crate) fn refused(&mut self, question: impl Into<TMessage>) -> u32 {
        let question = question.into();
        match self.ask(question.clone()) {
            RMessage::Lerror(error) => error.ecode,
            answer => panic!("{answer:?} to {question:?}"),
        }
    }

    /// The descriptor that came with the last answer.
    pub(crate) fn donated(&mut self) -> std::fs::File {
        self.fds.pop_front().unwrap().into()
    }

    /// Walks as plain 9P does.
    pub(crate) fn walk(&mut self, newfid: u32, path: &str) {
        let wnames: Vec<Str> = path.split('/').filter(|part| !part.is_empty()).map(text).collect();
        let asked = wnames.len();
        let RMessage::Walk(answer) = self.done(Twalk { fid: ROOT, newfid, wnames }) else {
            panic!("no walk")
        };
        assert_eq!(answer.wqids.len(), asked);
    }

    /// Walks as the extension does, binding the last step only.
    pub(crate) fn walkx(&mut self, newfid: u32, path: &str, open: Option<OpenHow>) -> p9::Rwalkx {
        match self.done(walkx(newfid, path, open)) {
            RMessage::Walkx(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn attr(&mut self, fid: u32) -> Attr {
        match self.done(Tgetattr { fid, request_mask: AttrMask::ALL }) {
            RMessage::Getattr(answer) => answer.attr,
            other => panic!("{other:?}"),
        }
    }
}

/// A compound walk from the root that binds the last step.
pub(crate) fn walkx(newfid: u32, path: &str, open: Option<OpenHow>) -> Twalkx {
    let mut steps: Vec<WalkStep> =
        path.split('/').map(|name| WalkStep { name: text(name), newfid: NOFID }).collect();
    steps.last_mut().unwrap().newfid = newfid;
    Twalkx { fid: ROOT, steps, open }
}

pub(crate) fn text(text: &str) -> Str {
    Str::new(text).unwrap()
}

/// Asks for a donated descriptor only.
pub(crate) fn donate(flags: OpenFlags) -> OpenHow {
    OpenHow { newfid: NOFID, flags, donate: true }
}

/// Asks for an open fid only.
pub(crate) fn as_fid(newfid: u32, flags: OpenFlags) -> OpenHow {
    OpenHow { newfid, flags, donate: false }
}

/// Error numbers as the protocol has them.
pub(crate) mod errno {
    pub(crate) const EPERM: u32 = 1;
    pub(crate) const ENOENT: u32 = 2;
    pub(crate) const ENXIO: u32 = 6;
    pub(crate) const E2BIG: u32 = 7;
    pub(crate) const EBADF: u32 = 9;
    pub(crate) const EEXIST: u32 = 17;
    pub(crate) const ENOTDIR: u32 = 20;
    pub(crate) const EISDIR: u32 = 21;
    pub(crate) const EINVAL: u32 = 22;
    pub(crate) const EMFILE: u32 = 24;
    pub(crate) const EROFS: u32 = 30;
    pub(crate) const ENAMETOOLONG: u32 = 36;
    pub(crate) const ELOOP: u32 = 40;
    pub(crate) const ENODATA: u32 = 61;
    pub(crate) const EPROTO: u32 = 71;
    pub(crate) const EBADMSG: u32 = 74;
    pub(crate) const EOPNOTSUPP: u32 = 95;
}
