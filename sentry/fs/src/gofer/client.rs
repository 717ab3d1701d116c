//! What can be asked of a Gofer, whatever the dialect.

use std::{os::fd::OwnedFd, sync::Arc};

use abi::Errno;
use host::{HostFile, Reactor};
use p9::{Attr, Dialect, NOFID, OpenFlags, OpenHow, RMessage, SetAttr, StatFs, Str, WalkStep};
use sched::{Fiber, Mutex};
use vfs::Name;

use super::{
    connection::{Answer, Connection, host_file},
    inode::Node,
};

/// Fids that are forgotten by one request.
const FORGET_BATCH: usize = 16;
/// `AT_REMOVEDIR` (unlinkat(2)).
const AT_REMOVEDIR: u32 = 0x200;

/// Takes the expected answer out of a message.
macro_rules! answer_as {
    ($answer:expr, $variant:ident) => {
        match $answer {
            (p9::RMessage::$variant(answer), fd) => Ok((answer, fd)),
            _ => Err(Errno::EIO),
        }
    };
}
pub(super) use answer_as;

/// A session with a Gofer.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connection: Arc<Connection>,
    dialect: Dialect,
    fids: Mutex<Fids>,
}

#[derive(Debug, Default)]
struct Fids {
    next: u32,
    free: Vec<u32>,
    /// To be forgotten by the Gofer; then they are free.
    unwanted: Vec<u32>,
}

/// How far a walk came.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Attributes and fid of each element reached.
    pub(super) reached: Vec<(Attr, u32)>,
    /// Why the next one was not.
    pub(super) error: Option<Errno>,
    /// Where the last one leads, if it is a symbolic link and the Gofer said so.
    pub(super) target: Option<Vec<u8>>,
}

/// What open gives: a donated file, or a fid that stands for it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: Option<Arc<HostFile>>,
    pub(super) fid: u32,
}

/// What a new file is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewFile<'a> {
    pub(super) dir: &'a Node,
    /// `None`: a file without a name.
    pub(super) name: Option<&'a Name>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What else can be made.
#[derive(Clone, Copy, Debug)]
pub(super) enum NewSpecial<'a> {
    Dir,
    Symlink(&'a [u8]),
    /// Type bits of a FIFO, a socket or a device, and its numbers.
    Node(u32, u32, u32),
}

pub(super) fn text(bytes: &[u8]) -> Result<Str, Errno> {
    Str::new(bytes).map_err(|_| Errno::ENAMETOOLONG)
}

fn errno(ecode: u32) -> Option<Errno> {
    (ecode != 0).then(|| Errno::from_raw(i32::try_from(ecode).unwrap_or(0)))
}

impl Client {
    /// Starts a session; returns it and the root's fid.
    pub(super) fn start(
        fiber: &Fiber<'_>,
        reactor: &Arc<Reactor>,
        socket: OwnedFd,
    ) -> Result<(Arc<Self>, u32), Errno> {
        let connection = Connection::new(socket, reactor)?;
        let ask = |dialect: Dialect| {
            let version = text(dialect.version().as_bytes())?;
            let hello = p9::Tversion { msize: p9::DEFAULT_MSIZE, version };
            answer_as!(connection.call(fiber, hello)?, Version).map(|(hello, _)| hello)
        };
        let mut hello = ask(Dialect::Extended)?;
        if Dialect::agreed(&hello.version).is_none() {
            // A peer may answer "unknown" instead of the part of the version that it knows.
            hello = ask(Dialect::Plain)?;
        }
        let dialect = Dialect::agreed(&hello.version).ok_or(Errno::EPROTO)?;
        if hello.msize > p9::DEFAULT_MSIZE || hello.msize < p9::MIN_MSIZE {
            return Err(Errno::EPROTO);
        }
        connection.set_msize(hello.msize);
        let client = Self { connection, dialect, fids: Mutex::default() };
        let fid = client.new_fid();
        let (uname, aname, n_uname) = (Str::default(), Str::default(), NOFID);
        let attach = p9::Tattach { fid, afid: NOFID, uname, aname, n_uname };
        client.call(fiber, attach)?;
        Ok((Arc::new(client), fid))
    }

    pub(super) fn is_plain(&self) -> bool {
        self.dialect == Dialect::Plain
    }

    pub(super) fn call(
        &self,
        fiber: &Fiber<'_>,
        request: impl Into<p9::TMessage>,
    ) -> Result<Answer, Errno> {
        self.connection.call(fiber, request)
    }

    /// A request that changes entries of `dirs`, whose attributes are asked for right behind it:
    /// they are known when it is answered, at the cost of no further wait.
    fn change(
        &self,
        fiber: &Fiber<'_>,
        request: impl Into<p9::TMessage>,
        dirs: &[&Node],
    ) -> Result<Answer, Errno> {
        let fids = dirs.iter().map(|dir| dir.fid(fiber)).collect::<Result<Vec<u32>, Errno>>()?;
        dirs.iter().for_each(|dir| dir.changed());
        let asked = host::clock::monotonic_ns();
        let call = self.connection.start(fiber, request)?;
        let attributes: Vec<_> = fids
            .into_iter()
            .map(|fid| p9::Tgetattr { fid, request_mask: p9::AttrMask::ALL })
            .map(|ask| self.connection.start(fiber, ask))
            .collect();
        let answer = call.wait(fiber);
        for (dir, call) in dirs.iter().zip(attributes) {
            let told = call.and_then(|call| answer_as!(call.wait(fiber)?, Getattr));
            // Who does not know them asks again.
            if let Ok((told, _)) = told {
                dir.update(&told.attr, asked);
            }
        }
        answer
    }

    pub(super) fn new_fid(&self) -> u32 {
        let mut fids = self.fids.lock();
        if let Some(fid) = fids.free.pop() {
            return fid;
        }
        let fid = fids.next;
        fids.next = fid.saturating_add(1).min(NOFID - 1);
        fid
    }

    /// A fid that was never bound.
    pub(super) fn give_back(&self, fid: u32) {
        self.fids.lock().free.push(fid);
    }

    /// Lets the Gofer forget a fid some time; `now`: at once, since it keeps a removed file alive.
    pub(super) fn forget(&self, fid: u32, now: bool) {
        if fid == NOFID {
            return;
        }
        let batch = {
            let mut fids = self.fids.lock();
            fids.unwanted.push(fid);
            if !now && fids.unwanted.len() < FORGET_BATCH {
                return;
            }
            std::mem::take(&mut fids.unwanted)
        };
        if self.is_plain() {
            batch.iter().for_each(|fid| self.connection.tell(p9::Tclunk { fid: *fid }));
            return;
        }
        // Our Gofer serves requests in order: who uses the number again comes after.
        self.connection.tell(p9::Tclunkx { fids: batch.clone() });
        self.fids.lock().free.extend(batch);
    }

    /// Goes down `names`.
    pub(super) fn walk(
        &self,
        fiber: &Fiber<'_>,
        from: u32,
        names: &[Name],
    ) -> Result<Walked, Errno> {
        if self.is_plain() {
            return self.walk_plain(fiber, from, names);
        }
        let mut steps = Vec::with_capacity(names.len());
        for name in names {
            steps.push(WalkStep { name: text(name.as_bytes())?, newfid: self.new_fid() });
        }
        let fids: Vec<u32> = steps.iter().map(|step| step.newfid).collect();
        let answer = self.call(fiber, p9::Twalkx { fid: from, steps, open: None });
        let answer = answer.and_then(|answer| answer_as!(answer, Walkx));
        let bound = answer.as_ref().map_or(0, |(answer, _)| answer.attrs.len());
        fids.iter().skip(bound).for_each(|fid| self.give_back(*fid));
        let (answer, _) = answer?;
        let target = answer.target.into_bytes();
        Ok(Walked {
            error: errno(answer.ecode),
            target: (!target.is_empty()).then_some(target),
            reached: answer.attrs.into_iter().zip(fids).collect(),
        })
    }

    pub(super) fn attributes(&self, fiber: &Fiber<'_>, fid: u32) -> Result<Attr, Errno> {
        let ask = p9::Tgetattr { fid, request_mask: p9::AttrMask::ALL };
        let (answer, _) = answer_as!(self.call(fiber, ask)?, Getattr)?;
        Ok(answer.attr)
    }

    pub(super) fn set_attributes(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        attr: SetAttr,
    ) -> Result<(), Errno> {
        self.call(fiber, p9::Tsetattr { fid, attr }).map(drop)
    }

    /// Opens a regular file.
    pub(super) fn open(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        if self.is_plain() {
            return self.open_plain(fiber, fid, flags);
        }
        let open = OpenHow { newfid: NOFID, flags, donate: true };
        let (_, fd) = answer_as!(self.call(fiber, p9::Topenx { fid, open })?, Openx)?;
        match host_file(fd, flags.writes()) {
            Some(file) => Ok(Opened { file: Some(file), fid: NOFID }),
            None => self.open_plain(fiber, fid, flags),
        }
    }

    /// Makes and opens a regular file; `None`: it was made, but can't be opened.
    pub(super) fn create(
        &self,
        fiber: &Fiber<'_>,
        new: NewFile<'_>,
    ) -> Result<(Attr, u32, Option<Opened>), Errno> {
        if self.is_plain() {
            return self.create_plain(fiber, new);
        }
        let (dfid, newfid) = (new.dir.fid(fiber)?, self.new_fid());
        let NewFile { mode, uid, gid, .. } = new;
        // A file without a name must stay linkable: no EXCL.
        let (name, kind) = match new.name {
            Some(name) => (text(name.as_bytes())?, OpenFlags::EXCL),
            None => (Str::default(), OpenFlags::TMPFILE),
        };
        let open = OpenHow { newfid: NOFID, flags: OpenFlags::RDWR | kind, donate: true };
        let ask = p9::Tcreatex { dfid, name, newfid, mode, uid, gid, open };
        let dirs = if new.name.is_some() { &[new.dir][..] } else { &[] };
        let answer = self.change(fiber, ask, dirs).inspect_err(|_| self.give_back(newfid))?;
        let (answer, fd) = answer_as!(answer, Createx)?;
        let file = host_file(fd, true);
        let opened = file.map(|file| Opened { file: Some(file), fid: NOFID });
        Ok((answer.attr, newfid, opened))
    }

    /// Makes what is no regular file.
    pub(super) fn make(
        &self,
        fiber: &Fiber<'_>,
        new: NewFile<'_>,
        what: NewSpecial<'_>,
    ) -> Result<(Attr, u32), Errno> {
        let NewFile { dir, mode, uid, gid, .. } = new;
        let named = new.name.ok_or(Errno::EINVAL)?;
        if self.is_plain() {
            return self.make_plain(fiber, (new, named), what);
        }
        let dfid = dir.fid(fiber)?;
        let (name, newfid) = (text(named.as_bytes())?, self.new_fid());
        let dirs = &[dir];
        let answer = match what {
            NewSpecial::Dir => {
                self.change(fiber, p9::Tmkdirx { dfid, name, newfid, mode, uid, gid }, dirs)
            }
            NewSpecial::Symlink(target) => {
                let symtgt = text(target)?;
                let ask = p9::Tsymlinkx { dfid, name, newfid, symtgt, uid, gid };
                self.change(fiber, ask, dirs)
            }
            NewSpecial::Node(kind, major, minor) => {
                let mode = kind | mode;
                let ask = p9::Tmknodx { dfid, name, newfid, mode, major, minor, uid, gid };
                self.change(fiber, ask, dirs)
            }
        };
        match answer.inspect_err(|_| self.give_back(newfid))? {
            (RMessage::Mkdirx(answer), _) => Ok((answer.attr, newfid)),
            (RMessage::Symlinkx(answer), _) => Ok((answer.attr, newfid)),
            (RMessage::Mknodx(answer), _) => Ok((answer.attr, newfid)),
            _ => Err(Errno::EIO),
        }
    }

    pub(super) fn link(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        (dir, name): (&Node, &Name),
    ) -> Result<(), Errno> {
        let (dfid, name) = (dir.fid(fiber)?, text(name.as_bytes())?);
        self.change(fiber, p9::Tlink { dfid, fid, name }, &[dir]).map(drop)
    }

    pub(super) fn unlink(
        &self,
        fiber: &Fiber<'_>,
        (dir, name): (&Node, &Name),
        is_dir: bool,
    ) -> Result<(), Errno> {
        let (dirfid, name) = (dir.fid(fiber)?, text(name.as_bytes())?);
        let flags = if is_dir { AT_REMOVEDIR } else { 0 };
        self.change(fiber, p9::Tunlinkat { dirfid, name, flags }, &[dir]).map(drop)
    }

    /// renameat2(2); `flags` are its own.
    pub(super) fn rename(
        &self,
        fiber: &Fiber<'_>,
        (from_dir, from): (&Node, &Name),
        (to_dir, to): (&Node, &Name),
        flags: u32,
    ) -> Result<(), Errno> {
        let (olddirfid, newdirfid) = (from_dir.fid(fiber)?, to_dir.fid(fiber)?);
        let (oldname, newname) = (text(from.as_bytes())?, text(to.as_bytes())?);
        let dirs = &[from_dir, to_dir];
        if !self.is_plain() {
            let ask = p9::Trenamex { olddirfid, oldname, newdirfid, newname, flags };
            return self.change(fiber, ask, dirs).map(drop);
        }
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let ask = p9::Trenameat { olddirfid, oldname, newdirfid, newname };
        self.change(fiber, ask, dirs).map(drop)
    }

    pub(super) fn read_link(&self, fiber: &Fiber<'_>, fid: u32) -> Result<Vec<u8>, Errno> {
        let (answer, _) = answer_as!(self.call(fiber, p9::Treadlink { fid })?, Readlink)?;
        Ok(answer.target.into_bytes())
    }

    pub(super) fn stat_fs(&self, fiber: &Fiber<'_>, fid: u32) -> Result<StatFs, Errno> {
        let (answer, _) = answer_as!(self.call(fiber, p9::Tstatfs { fid })?, Statfs)?;
        Ok(answer.stat)
    }

    /// Calls `take` for each entry of a directory, with its attributes where they come along.
    pub(super) fn list(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        mut take: impl FnMut(&[u8], (u64, u8), Option<Attr>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if self.is_plain() {
            return self.list_plain(fiber, fid, &mut take);
        }
        let (mut offset, count) = (0, self.connection.msize() - p9::IO_HEADER);
        loop {
            let ask = p9::Treaddirx { fid, offset, count };
            let (answer, _) = answer_as!(self.call(fiber, ask)?, Readdirx)?;
            let Some(last) = answer.entries.last() else { return Ok(()) };
            offset = last.offset;
            for entry in answer.entries.iter() {
                let id = (entry.attr.qid.path, abi::fs::dirent_type(entry.attr.mode));
                take(&entry.name, id, Some(entry.attr))?;
            }
        }
    }

    /// Extended attributes by value; a plain peer has none for us.
    pub(super) fn extended(&self) -> Result<&Self, Errno> {
        if self.is_plain() { Err(Errno::EOPNOTSUPP) } else { Ok(self) }
    }
}
