//! The same for a peer that speaks plain 9P2000.L: one step at a time, and no donated files.

use abi::Errno;
use p9::{Attr, OpenFlags, SetAttr, SetAttrMask};
use sched::Fiber;
use vfs::Name;

use super::client::{Client, NewFile, NewSpecial, Opened, Walked, answer_as, text};

/// What is taken of each entry of a directory.
type Take<'a> = &'a mut dyn FnMut(&[u8], (u64, u8), Option<Attr>) -> Result<(), Errno>;

impl Client {
    pub(super) fn walk_plain(
        &self,
        fiber: &Fiber<'_>,
        from: u32,
        names: &[Name],
    ) -> Result<Walked, Errno> {
        let (mut here, mut walked) = (from, Walked::default());
        for name in names {
            let step = self.bind(fiber, here, Some(name)).and_then(|fid| {
                let attr = self.attributes(fiber, fid);
                let attr = attr.inspect_err(|_| self.forget(fid, false))?;
                Ok((attr, fid))
            });
            match step {
                Ok((attr, fid)) => {
                    here = fid;
                    walked.reached.push((attr, fid));
                    if attr.qid.kind.contains(p9::QidKind::SYMLINK) {
                        break;
                    }
                }
                Err(error) => {
                    walked.error = Some(error);
                    break;
                }
            }
        }
        Ok(walked)
    }

    /// Binds a new fid to `name` below `from`, or to `from` itself.
    fn bind(&self, fiber: &Fiber<'_>, from: u32, name: Option<&Name>) -> Result<u32, Errno> {
        let newfid = self.new_fid();
        let wnames = match name {
            Some(name) => vec![text(name.as_bytes())?],
            None => Vec::new(),
        };
        let wanted = wnames.len();
        let answer = self.call(fiber, p9::Twalk { fid: from, newfid, wnames });
        let answer = answer.and_then(|answer| answer_as!(answer, Walk));
        match answer {
            Ok((answer, _)) if answer.wqids.len() == wanted => Ok(newfid),
            other => {
                self.give_back(newfid);
                Err(other.err().unwrap_or(Errno::ENOENT))
            }
        }
    }

    pub(super) fn open_plain(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        let fid = self.bind(fiber, fid, None)?;
        self.call(fiber, p9::Tlopen { fid, flags }).inspect_err(|_| self.forget(fid, false))?;
        Ok(Opened { file: None, fid })
    }

    pub(super) fn create_plain(
        &self,
        fiber: &Fiber<'_>,
        new: NewFile<'_>,
    ) -> Result<(Attr, u32, Option<Opened>), Errno> {
        let named = new.name.ok_or(Errno::EOPNOTSUPP)?;
        let open = self.bind(fiber, new.dir.fid(fiber)?, None)?;
        let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::EXCL;
        let (name, mode, gid) = (text(named.as_bytes())?, new.mode, new.gid);
        self.call(fiber, p9::Tlcreate { fid: open, name, flags, mode, gid })
            .inspect_err(|_| self.forget(open, false))?;
        let opened = Opened { file: None, fid: open };
        let (attr, fid) = self.made(fiber, new, named)?;
        Ok((attr, fid, Some(opened)))
    }

    pub(super) fn make_plain(
        &self,
        fiber: &Fiber<'_>,
        (new, named): (NewFile<'_>, &Name),
        what: NewSpecial<'_>,
    ) -> Result<(Attr, u32), Errno> {
        let NewFile { mode, gid, .. } = new;
        let dfid = new.dir.fid(fiber)?;
        let name = text(named.as_bytes())?;
        match what {
            NewSpecial::Dir => self.call(fiber, p9::Tmkdir { dfid, name, mode, gid })?,
            NewSpecial::Symlink(target) => {
                let symtgt = text(target)?;
                self.call(fiber, p9::Tsymlink { fid: dfid, name, symtgt, gid })?
            }
            NewSpecial::Node(kind, major, minor) => {
                let mode = kind | mode;
                self.call(fiber, p9::Tmknod { dfid, name, mode, major, minor, gid })?
            }
        };
        self.made(fiber, new, named)
    }

    /// Finds what was just made, and gives it to its owner.
    fn made(&self, fiber: &Fiber<'_>, new: NewFile<'_>, name: &Name) -> Result<(Attr, u32), Errno> {
        new.dir.changed();
        let fid = self.bind(fiber, new.dir.fid(fiber)?, Some(name))?;
        let attr = self.attributes(fiber, fid)?;
        if attr.uid == new.uid {
            return Ok((attr, fid));
        }
        let owner = SetAttr { valid: SetAttrMask::UID, uid: new.uid, ..SetAttr::default() };
        self.set_attributes(fiber, fid, owner)?;
        Ok((self.attributes(fiber, fid)?, fid))
    }

    pub(super) fn list_plain(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        take: Take<'_>,
    ) -> Result<(), Errno> {
        let opened = self.open_plain(fiber, fid, OpenFlags::DIRECTORY)?;
        let result = self.list_opened(fiber, opened.fid, take);
        self.forget(opened.fid, false);
        result
    }

    fn list_opened(&self, fiber: &Fiber<'_>, fid: u32, take: Take<'_>) -> Result<(), Errno> {
        let (mut offset, count) = (0, self.connection.msize() - p9::IO_HEADER);
        loop {
            let ask = p9::Treaddir { fid, offset, count };
            let (answer, _) = answer_as!(self.call(fiber, ask)?, Readdir)?;
            let Some(last) = answer.entries.last() else { return Ok(()) };
            offset = last.offset;
            for entry in answer.entries.iter() {
                if !matches!(entry.name.as_bytes(), b"." | b"..") {
                    take(&entry.name, (entry.qid.path, entry.kind), None)?;
                }
            }
        }
    }

    /// Reads from an open fid; at most what one message holds.
    pub(super) fn read(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        offset: u64,
        to: &mut [u8],
    ) -> Result<usize, Errno> {
        let most = self.connection.msize() - p9::IO_HEADER;
        let mut done = 0;
        while done < to.len() {
            let room = to.get_mut(done..).unwrap_or_default();
            let count = u32::try_from(room.len()).unwrap_or(most).min(most);
            let ask = p9::Tread { fid, offset: offset.saturating_add(done as u64), count };
            let (answer, _) = answer_as!(self.call(fiber, ask)?, Read)?;
            let got = answer.data.len().min(room.len());
            room.iter_mut().zip(answer.data.iter()).for_each(|(to, from)| *to = *from);
            if got == 0 {
                break;
            }
            done += got;
        }
        Ok(done)
    }

    /// Writes to an open fid.
    pub(super) fn write(
        &self,
        fiber: &Fiber<'_>,
        fid: u32,
        offset: u64,
        from: &[u8],
    ) -> Result<usize, Errno> {
        let most = usize::try_from(self.connection.msize() - p9::IO_HEADER).unwrap_or(4096);
        let mut done = 0;
        for piece in from.chunks(most) {
            let data = p9::Data(piece.to_vec());
            let ask = p9::Twrite { fid, offset: offset.saturating_add(done as u64), data };
            let (answer, _) = answer_as!(self.call(fiber, ask)?, Write)?;
            let put = usize::try_from(answer.count).unwrap_or(0).min(piece.len());
            done += put;
            if put < piece.len() {
                break;
            }
        }
        Ok(done)
    }
}
