//! The threads of the Gofer, one per attach, and what each does.

use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{Builder, JoinHandle};

use p9::{CodecError, Header, RMessage, TMessage};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::config::{Config, GoferError, Limits};
use crate::confine::{drop_capabilities, raise_descriptor_limit, stay_in};
use crate::filters;
use crate::node::Node;
use crate::open::ProcFd;
use crate::session::{Session, Tree, error};
use crate::stream::{Stream, StreamError};

/// Serves all attaches until each connection has ended.
///
/// Sets the umask to 0 and raises the limit of descriptors, for the whole process. All threads are
/// started before the filter is installed, and wait for it.
///
/// # Errors
/// What keeps it from serving at all. A connection that fails only ends itself.
pub fn serve(config: Config) -> Result<(), GoferError> {
    raise_descriptor_limit();
    rustix::process::umask(Mode::empty());
    let limits = config.limits;
    let sessions = sessions(config.attaches, config.proc_fd, limits)?;
    if config.confine {
        let trees = sessions.iter().map(|(session, _)| &session.tree);
        let trees = trees.map(|tree| (tree.root.as_ref(), tree.readonly));
        stay_in(trees).map_err(GoferError::Landlock)?;
        drop_capabilities().map_err(GoferError::Capabilities)?;
    }
    let gate = Arc::new(Gate::new(sessions.len()));
    let mut threads = Vec::with_capacity(sessions.len());
    for (session, stream) in sessions {
        match start(session, stream, Arc::clone(&gate)) {
            Ok(thread) => threads.push(thread),
            // The threads started so far wait for ever, and end with the process.
            Err(cause) => return Err(GoferError::Thread(cause)),
        }
    }
    gate.started.wait();
    let filtered = if config.confine { filters::install() } else { Ok(()) };
    let ready = gate.ready.set(filtered.is_ok());
    debug_assert!(ready.is_ok(), "the gate is opened once");
    gate.open.wait();
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a connection's thread panicked");
        }
    }
    filtered.map_err(GoferError::Filter)
}

/// Where threads wait until the process is confined.
#[derive(Debug)]
struct Gate {
    /// All threads are running, so none has to be made any more.
    started: Barrier,
    /// The decision has been made.
    open: Barrier,
    /// Whether to serve.
    ready: OnceLock<bool>,
}

impl Gate {
    fn new(threads: usize) -> Self {
        let all = threads + 1;
        Self { started: Barrier::new(all), open: Barrier::new(all), ready: OnceLock::new() }
    }

    /// Waits; true if the thread may serve.
    fn pass(&self) -> bool {
        self.started.wait();
        self.open.wait();
        self.ready.get().copied().unwrap_or(false)
    }
}

fn sessions(
    attaches: Vec<crate::Attach>,
    proc_fd: std::os::fd::OwnedFd,
    limits: Limits,
) -> Result<Vec<(Session, Stream)>, GoferError> {
    let proc = Arc::new(ProcFd(proc_fd));
    let euid = rustix::process::geteuid();
    let one = |attach: crate::Attach| {
        let name = attach.name;
        let (root, _) = match Node::new(attach.root) {
            Ok(root) => root,
            Err(cause) => return Err(GoferError::Root { name, cause }),
        };
        let (root, proc) = (Arc::new(root), Arc::clone(&proc));
        let tree = Tree { name, root, readonly: attach.readonly, proc, euid };
        Ok((Session::new(tree, limits), Stream::new(attach.socket)))
    };
    attaches.into_iter().map(one).collect()
}

fn start(
    session: Session,
    stream: Stream,
    gate: Arc<Gate>,
) -> Result<JoinHandle<()>, std::io::Error> {
    // What a thread needs at most is one frame and one batch of entries on the heap.
    Builder::new().name("gofer".into()).stack_size(256 * 1024).spawn(move || {
        if gate.pass() {
            let name = session.tree.name.clone();
            if let Err(error) = converse(session, stream) {
                tracing::debug!(attach = name, %error, "connection ended");
            }
        }
    })
}

/// Answers requests until the client leaves or can't be understood any more.
fn converse(mut session: Session, mut stream: Stream) -> Result<(), StreamError> {
    let mut out = Vec::new();
    // Before `Tversion` a frame needs to hold no more than that.
    while let Some(frame) = stream.next(session.msize)? {
        let tag = Header::of(frame)?.tag;
        let (answer, fd) = match TMessage::decode(frame) {
            Ok((_, request)) => {
                tracing::trace!(tag, ?request);
                session.answer(request)
            }
            Err(CodecError::UnknownType(_)) => (error(Errno::OPNOTSUPP), None),
            Err(_) => (error(Errno::BADMSG), None),
        };
        tracing::trace!(tag, ?answer);
        encode(&answer, tag, session.msize, &mut out)?;
        stream.send(&out, fd.as_deref())?;
    }
    Ok(())
}

/// Puts the answer into `out`; one that is too long for the session is an error of its own.
fn encode(answer: &RMessage, tag: u16, msize: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.clear();
    let encoded = answer.encode(tag, out);
    if encoded.is_ok() && u32::try_from(out.len()).is_ok_and(|len| len <= msize) {
        return Ok(());
    }
    out.clear();
    error(Errno::MSGSIZE).encode(tag, out)
}
