//! A session: what a client has said so far, and which request goes where.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use p9::{Dialect, MIN_MSIZE, RMessage, TMessage};
use rustix::fs::Uid;
use rustix::io::Errno;

use crate::config::Limits;
use crate::fid::Fids;
use crate::node::{Devices, Node};
use crate::open::ProcFd;

/// What a session serves: fixed from the start.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Name of the attach.
    pub(crate) name: String,
    /// Its root.
    pub(crate) root: Arc<Node>,
    /// Refuse every change.
    pub(crate) readonly: bool,
    /// How files are opened.
    pub(crate) proc: Arc<ProcFd>,
    /// Who we are: the owner of what we make until it is given away.
    pub(crate) euid: Uid,
}

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) tree: Tree,
    pub(crate) limits: Limits,
    /// What was agreed on; nothing before the first `Tversion`.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) msize: u32,
    pub(crate) fids: Fids,
    pub(crate) devices: Devices,
    /// The descriptor that goes with the answer being made.
    pub(crate) donation: Option<Arc<OwnedFd>>,
}

impl Session {
    /// A session with nothing agreed on yet.
    pub(crate) fn new(tree: Tree, limits: Limits) -> Self {
        let fids = Fids::new(limits.fids);
        let devices = Devices::default();
        Self { tree, limits, dialect: None, msize: MIN_MSIZE, fids, devices, donation: None }
    }

    /// Answers a request. Whatever fails is an `Rlerror`.
    pub(crate) fn answer(&mut self, request: TMessage) -> (RMessage, Option<Arc<OwnedFd>>) {
        let answer = match self.admit(&request) {
            Ok(()) if request.is_extension() => self.extension(request),
            Ok(()) => self.plain(request),
            Err(refusal) => Err(refusal),
        };
        let donation = self.donation.take();
        match answer {
            Ok(answer) => (answer, donation),
            Err(errno) => (error(errno), None),
        }
    }

    /// Refuses what the dialect does not have.
    fn admit(&self, request: &TMessage) -> Result<(), Errno> {
        match (self.dialect, request) {
            (_, TMessage::Version(_)) | (Some(Dialect::Extended), _) => Ok(()),
            (Some(Dialect::Plain), request) if !request.is_extension() => Ok(()),
            (Some(Dialect::Plain), _) => Err(Errno::OPNOTSUPP),
            (None, _) => Err(Errno::PROTO),
        }
    }

    /// Refuses changes of a read-only tree.
    pub(crate) fn writable(&self) -> Result<(), Errno> {
        if self.tree.readonly { Err(Errno::ROFS) } else { Ok(()) }
    }

    fn plain(&mut self, request: TMessage) -> Result<RMessage, Errno> {
        Ok(match request {
            TMessage::Version(t) => self.version(&t).into(),
            TMessage::Attach(t) => self.attach(&t)?.into(),
            TMessage::Flush(_) => p9::Rflush {}.into(),
            TMessage::Walk(t) => self.walk(&t)?.into(),
            TMessage::Read(t) => self.read(&t)?.into(),
            TMessage::Write(t) => self.write(&t)?.into(),
            TMessage::Clunk(t) => self.clunk(t.fid)?.into(),
            TMessage::Remove(t) => self.remove(t.fid)?.into(),
            TMessage::Statfs(t) => self.statfs(t.fid)?.into(),
            TMessage::Lopen(t) => self.lopen(&t)?.into(),
            TMessage::Lcreate(t) => self.lcreate(&t)?.into(),
            TMessage::Symlink(t) => self.symlink(&t)?.into(),
            TMessage::Mknod(t) => self.mknod(&t)?.into(),
            TMessage::Readlink(t) => self.readlink(t.fid)?.into(),
            TMessage::Getattr(t) => self.getattr(t.fid)?.into(),
            TMessage::Setattr(t) => self.setattr(&t)?.into(),
            TMessage::Xattrwalk(t) => self.xattrwalk(&t)?.into(),
            TMessage::Xattrcreate(t) => self.xattrcreate(t)?.into(),
            TMessage::Readdir(t) => self.readdir(&t)?.into(),
            TMessage::Fsync(t) => self.fsync(&t)?.into(),
            TMessage::Link(t) => self.link(&t)?.into(),
            TMessage::Mkdir(t) => self.mkdir(&t)?.into(),
            TMessage::Renameat(t) => self.renameat(&t)?.into(),
            TMessage::Unlinkat(t) => self.unlinkat(&t)?.into(),
            // No authentication: the socket is the credential. Locks are the Sentry's business. A fid
            // does not know its own name, so it can't be renamed by itself: clients then use renameat.
            _ => return Err(Errno::OPNOTSUPP),
        })
    }

    fn extension(&mut self, request: TMessage) -> Result<RMessage, Errno> {
        Ok(match request {
            TMessage::Walkx(t) => self.walkx(&t)?.into(),
            TMessage::Openx(t) => self.openx(&t)?.into(),
            TMessage::Createx(t) => self.createx(&t)?.into(),
            TMessage::Mkdirx(t) => self.mkdirx(&t)?.into(),
            TMessage::Symlinkx(t) => self.symlinkx(&t)?.into(),
            TMessage::Mknodx(t) => self.mknodx(&t)?.into(),
            TMessage::Renamex(t) => self.renamex(&t)?.into(),
            TMessage::Readdirx(t) => self.readdirx(&t)?.into(),
            TMessage::Clunkx(t) => self.clunkx(&t)?.into(),
            TMessage::Allocatex(t) => self.allocatex(&t)?.into(),
            TMessage::Getxattrx(t) => self.getxattrx(&t)?.into(),
            TMessage::Setxattrx(t) => self.setxattrx(&t)?.into(),
            TMessage::Listxattrx(t) => self.listxattrx(t.fid)?.into(),
            TMessage::Removexattrx(t) => self.removexattrx(&t)?.into(),
            _ => return Err(Errno::OPNOTSUPP),
        })
    }
}

/// The answer to a request that failed.
pub(crate) fn error(errno: Errno) -> RMessage {
    RMessage::error(errno.raw_os_error().unsigned_abs())
}
