//! Making files.
//!
//! What is made belongs to us until it is given to its owner. For a regular file that is done on the
//! descriptor that made it. Others have to be looked up again by name, and meanwhile somebody else who
//! can write to the directory on the host may have put another file there: only one of the kind that we
//! made and that belongs to us is given away.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use p9::{
    OpenFlags, Qid, Rcreatex, Rlcreate, Rmkdir, Rmkdirx, Rmknod, Rmknodx, Rsymlink, Rsymlinkx, Str,
    Tcreatex, Tlcreate, Tmkdir, Tmkdirx, Tmknod, Tmknodx, Tsymlink, Tsymlinkx,
};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Statx, chmodat, chownat, makedev, mkdirat, mknodat, openat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::attr::{self, gid, permissions, uid};
use crate::fid::{Fid, State};
use crate::node::{Node, kind_of};
use crate::open::host_flags;
use crate::session::Session;
use crate::walk;

/// Who gets a new file; `u32::MAX` leaves an id as it is.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// A plain create says the group only.
const NOBODY: u32 = u32::MAX;

impl Session {
    pub(crate) fn lcreate(&mut self, t: &Tlcreate) -> Result<Rlcreate, Errno> {
        self.writable()?;
        let dir = self.fids.node(t.fid)?;
        let name = walk::name(&t.name)?;
        let owner = Owner { uid: NOBODY, gid: t.gid };
        let (node, state) = match self.create(&dir, &name, t.flags, t.mode, owner) {
            Ok(file) => self.created(file, t.flags)?,
            Err(Errno::EXIST) if !t.flags.contains(OpenFlags::EXCL) => {
                let (node, _) = Node::new(walk::step(&dir, &name)?)?;
                let state = self.open(&node, t.flags)?;
                (node, state)
            }
            Err(errno) => return Err(errno),
        };
        let qid = self.devices.qid(&node.status()?);
        self.fids.bind(t.fid, Fid { node: Arc::new(node), state });
        Ok(Rlcreate { qid, iounit: 0 })
    }

    pub(crate) fn createx(&mut self, t: &Tcreatex) -> Result<Rcreatex, Errno> {
        self.writable()?;
        let dir = self.fids.node(t.dfid)?;
        self.check_distinct([t.newfid, t.open.newfid].into_iter())?;
        let flags = t.open.flags;
        let owner = Owner { uid: t.uid, gid: t.gid };
        let file = if flags.contains(OpenFlags::TMPFILE) {
            self.create_unnamed(&dir, t, owner)
        } else {
            self.create(&dir, &walk::name(&t.name)?, flags, t.mode, owner)
        };
        let (node, state, created) = match file {
            Ok(file) => {
                let (node, state) = self.created(file, flags)?;
                (node, Ok(state), true)
            }
            Err(Errno::EXIST) if !flags.contains(OpenFlags::EXCL) => {
                let (node, _) = Node::new(walk::step(&dir, &walk::name(&t.name)?)?)?;
                let state = self.open(&node, flags);
                (node, state, false)
            }
            Err(errno) => return Err(errno),
        };
        let attr = attr::attr(&node.status()?, &mut self.devices);
        let node = Arc::new(node);
        let opened = self.hand_out_or_say_why(&node, state, t.open);
        self.fids.bind(t.newfid, Fid::path(node));
        Ok(Rcreatex { attr, created, opened })
    }

    /// Makes a regular file and opens it. Always exclusive: what is there already may be a device.
    fn create(
        &self,
        dir: &Node,
        name: &CString,
        flags: OpenFlags,
        mode: u32,
        owner: Owner,
    ) -> Result<OwnedFd, Errno> {
        // Direct I/O can be refused only after the file was made.
        let host = host_flags(flags)? - OFlags::DIRECTORY - OFlags::TRUNC;
        let make = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(dir, name, host | make, permissions(mode))?;
        let given = self.give(file.as_fd(), Some(mode), owner);
        self.or_unlink(given, dir, name, AtFlags::empty()).map(|_| file)
    }

    /// Makes a file that has no name, until `Tlink` gives it one (not with `EXCL`).
    fn create_unnamed(&self, dir: &Node, t: &Tcreatex, owner: Owner) -> Result<OwnedFd, Errno> {
        if !t.name.is_empty() {
            return Err(Errno::INVAL);
        }
        let host = host_flags(t.open.flags)? - OFlags::TRUNC;
        let private = t.open.flags.contains(OpenFlags::EXCL);
        let private = if private { OFlags::EXCL } else { OFlags::empty() };
        let make = OFlags::TMPFILE | OFlags::CLOEXEC | private;
        let file = openat(dir, c".", host | make, permissions(t.mode))?;
        self.give(file.as_fd(), Some(t.mode), owner)?;
        Ok(file)
    }

    /// The node and the open file of a descriptor that made a file.
    fn created(&self, file: OwnedFd, flags: OpenFlags) -> Result<(Node, State), Errno> {
        let (node, _) = Node::new(self.tree.proc.path_of(&file)?)?;
        Ok((node, State::File(Arc::new(file), flags)))
    }

    pub(crate) fn mkdir(&mut self, t: &Tmkdir) -> Result<Rmkdir, Errno> {
        let owner = Owner { uid: NOBODY, gid: t.gid };
        let made = self.make(t.dfid, &t.name, Make::Directory, t.mode, owner)?;
        Ok(Rmkdir { qid: self.qid_of(&made) })
    }

    pub(crate) fn mkdirx(&mut self, t: &Tmkdirx) -> Result<Rmkdirx, Errno> {
        self.fids.check_free([t.newfid])?;
        let owner = Owner { uid: t.uid, gid: t.gid };
        let made = self.make(t.dfid, &t.name, Make::Directory, t.mode, owner)?;
        Ok(Rmkdirx { attr: self.bind_made(t.newfid, made) })
    }

    pub(crate) fn symlink(&mut self, t: &Tsymlink) -> Result<Rsymlink, Errno> {
        let owner = Owner { uid: NOBODY, gid: t.gid };
        let made = self.make(t.fid, &t.name, Make::Symlink(&t.symtgt), 0o777, owner)?;
        Ok(Rsymlink { qid: self.qid_of(&made) })
    }

    pub(crate) fn symlinkx(&mut self, t: &Tsymlinkx) -> Result<Rsymlinkx, Errno> {
        self.fids.check_free([t.newfid])?;
        let owner = Owner { uid: t.uid, gid: t.gid };
        let made = self.make(t.dfid, &t.name, Make::Symlink(&t.symtgt), 0o777, owner)?;
        Ok(Rsymlinkx { attr: self.bind_made(t.newfid, made) })
    }

    pub(crate) fn mknod(&mut self, t: &Tmknod) -> Result<Rmknod, Errno> {
        let what = Make::special(t.mode, t.major, t.minor)?;
        let owner = Owner { uid: NOBODY, gid: t.gid };
        let made = self.make(t.dfid, &t.name, what, t.mode, owner)?;
        Ok(Rmknod { qid: self.qid_of(&made) })
    }

    pub(crate) fn mknodx(&mut self, t: &Tmknodx) -> Result<Rmknodx, Errno> {
        let what = Make::special(t.mode, t.major, t.minor)?;
        self.fids.check_free([t.newfid])?;
        let owner = Owner { uid: t.uid, gid: t.gid };
        let made = self.make(t.dfid, &t.name, what, t.mode, owner)?;
        Ok(Rmknodx { attr: self.bind_made(t.newfid, made) })
    }

    /// Makes anything but a regular file with contents, and gives it to its owner.
    fn make(
        &self,
        dfid: u32,
        name: &Str,
        what: Make<'_>,
        mode: u32,
        owner: Owner,
    ) -> Result<(Node, Statx), Errno> {
        self.writable()?;
        let dir = self.fids.node(dfid)?;
        let name = walk::name(name)?;
        let (kind, undo) = match what {
            Make::Directory => {
                mkdirat(&dir, &name, permissions(mode))?;
                (FileType::Directory, AtFlags::REMOVEDIR)
            }
            Make::Symlink(target) => {
                symlinkat(target.as_bytes(), &dir, &name)?;
                (FileType::Symlink, AtFlags::empty())
            }
            Make::Special(kind) => {
                mknodat(&dir, &name, kind, permissions(mode), makedev(0, 0))?;
                (kind, AtFlags::empty())
            }
        };
        let (node, status) = Node::new(walk::step(&dir, &name)?)?;
        if kind_of(&status) != kind || status.stx_uid != self.tree.euid.as_raw() {
            return Err(Errno::STALE);
        }
        let mode = (kind != FileType::Symlink).then_some(mode);
        let given = self.give(node.as_fd(), mode, owner);
        let status = self.or_unlink(given, &dir, &name, undo)?;
        Ok((node, status))
    }

    /// Gives a new file its owner and exactly the mode asked for: a change of owner clears bits, and so
    /// do directories with rules of their own for what is made in them.
    fn give(&self, file: BorrowedFd<'_>, mode: Option<u32>, to: Owner) -> Result<Statx, Errno> {
        let status = crate::node::status(file)?;
        let uid = uid(to.uid).filter(|uid| uid.as_raw() != status.stx_uid);
        let gid = gid(to.gid).filter(|gid| gid.as_raw() != status.stx_gid);
        let moved = uid.is_some() || gid.is_some();
        if moved {
            chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        let wanted = mode.map(permissions);
        let status = if moved { crate::node::status(file)? } else { status };
        match wanted {
            Some(mode) if Mode::from_raw_mode(u32::from(status.stx_mode) & 0o7777) != mode => {
                chmodat(&self.tree.proc.0, DecInt::from_fd(file), mode, AtFlags::empty())?;
                crate::node::status(file)
            }
            _ => Ok(status),
        }
    }

    /// Takes back what was made if it could not be given away.
    fn or_unlink<T>(
        &self,
        result: Result<T, Errno>,
        dir: &Node,
        name: &CString,
        flags: AtFlags,
    ) -> Result<T, Errno> {
        if result.is_err() && unlinkat(dir, name, flags).is_err() {
            tracing::debug!(attach = self.tree.name, "cannot take back a file");
        }
        result
    }

    fn qid_of(&mut self, made: &(Node, Statx)) -> Qid {
        self.devices.qid(&made.1)
    }

    fn bind_made(&mut self, newfid: u32, (node, status): (Node, Statx)) -> p9::Attr {
        self.fids.bind(newfid, Fid::path(Arc::new(node)));
        attr::attr(&status, &mut self.devices)
    }
}

/// What to make.
#[derive(Debug, Clone, Copy)]
enum Make<'a> {
    Directory,
    Symlink(&'a Str),
    Special(FileType),
}

impl Make<'_> {
    /// A pipe, a socket, an empty regular file, or the whiteout of an overlay (character device 0, 0).
    /// Real devices would be the host's, and a way to it for whoever opens them there.
    fn special(mode: u32, major: u32, minor: u32) -> Result<Self, Errno> {
        match FileType::from_raw_mode(mode) {
            kind @ (FileType::Fifo | FileType::Socket | FileType::RegularFile) => {
                Ok(Self::Special(kind))
            }
            FileType::Unknown if mode & 0o170_000 == 0 => Ok(Self::Special(FileType::RegularFile)),
            FileType::CharacterDevice if (major, minor) == (0, 0) => {
                Ok(Self::Special(FileType::CharacterDevice))
            }
            FileType::CharacterDevice | FileType::BlockDevice => Err(Errno::PERM),
            _ => Err(Errno::INVAL),
        }
    }
}
