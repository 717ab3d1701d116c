//! Directories.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use p9::{
    Attr, Dirent, DirentPlus, HEADER, Packed, Rreaddir, Rreaddirx, Str, Treaddir, Treaddirx, Wire,
};
use rustix::fs::{FileType, OFlags, RawDir, RawDirEntry, SeekFrom, seek};
use rustix::io::Errno;

use crate::attr;
use crate::fid::{Fid, State};
use crate::node::{Devices, qid_kind, status_at};
use crate::session::Session;

/// Room for entries read from the host at a time.
const HOST_ROOM: usize = 32 * 1024;

impl Session {
    pub(crate) fn readdir(&mut self, t: &Treaddir) -> Result<Rreaddir, Errno> {
        let room = self.room(t.count);
        let fid = self.fids.get(t.fid)?;
        let State::Dir(dir) = &fid.state else { return Err(Errno::BADF) };
        let own = fid.node.status()?;
        let device = (own.stx_dev_major, own.stx_dev_minor);
        let entries = list(dir, t.offset, room, |entry| {
            let name = entry.file_name();
            // What is above the root is no business of the client's.
            let ino = if name == c".." || name == c"." { own.stx_ino } else { entry.ino() };
            let dirent = plain(entry, device, ino, &mut self.devices)?;
            Ok(Some((Dirent::MIN + dirent.name.len(), dirent)))
        })?;
        Ok(Rreaddir { entries: Packed(entries) })
    }

    pub(crate) fn readdirx(&mut self, t: &Treaddirx) -> Result<Rreaddirx, Errno> {
        let room = self.room(t.count);
        let fid = self.fids.get(t.fid)?;
        let opened;
        let dir = match &fid.state {
            State::Dir(dir) => dir,
            _ => {
                opened = self.open_to_list(fid)?;
                &opened
            }
        };
        let entries = list(dir, t.offset, room, |entry| {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                return Ok(None);
            }
            let attr = match attributes(dir, name, &mut self.devices) {
                // Gone since the host listed it.
                Err(Errno::NOENT) => return Ok(None),
                attr => attr?,
            };
            let (offset, name) = (entry.next_entry_cookie(), text(name)?);
            Ok(Some((DirentPlus::MIN + name.len(), DirentPlus { offset, name, attr })))
        })?;
        Ok(Rreaddirx { entries: Packed(entries) })
    }

    fn open_to_list(&self, fid: &Fid) -> Result<OwnedFd, Errno> {
        match fid.node.kind() {
            FileType::Directory => self.tree.proc.open(&fid.node, OFlags::DIRECTORY),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Bytes that entries may take in an answer.
    fn room(&self, count: u32) -> usize {
        let most =
            usize::try_from(self.msize).unwrap_or(0).saturating_sub(HEADER + <u32 as Wire>::MIN);
        usize::try_from(count).unwrap_or(most).min(most)
    }
}

/// Lists a directory from `offset` on until `room` bytes are full. `make` says what an entry becomes
/// and how many bytes that is, or that it is left out.
fn list<T>(
    dir: &OwnedFd,
    offset: u64,
    room: usize,
    mut make: impl FnMut(&RawDirEntry<'_>) -> Result<Option<(usize, T)>, Errno>,
) -> Result<Vec<T>, Errno> {
    seek(dir, SeekFrom::Start(offset))?;
    let mut buffer = Vec::with_capacity(HOST_ROOM);
    let mut host = RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
    let (mut entries, mut used) = (Vec::new(), 0);
    while let Some(entry) = host.next() {
        let Some((size, entry)) = make(&entry?)? else { continue };
        used += size;
        if used > room {
            // An answer without entries would say that this is the end.
            return if entries.is_empty() { Err(Errno::INVAL) } else { Ok(entries) };
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn plain(
    entry: &RawDirEntry<'_>,
    device: (u32, u32),
    ino: u64,
    devices: &mut Devices,
) -> Result<Dirent, Errno> {
    let kind = entry.file_type();
    let qid = p9::Qid { kind: qid_kind(kind), version: 0, path: devices.path(device, ino) };
    let (offset, name) = (entry.next_entry_cookie(), text(entry.file_name())?);
    Ok(Dirent { qid, offset, kind: d_type(kind), name })
}

fn attributes(dir: &OwnedFd, name: &CStr, devices: &mut Devices) -> Result<Attr, Errno> {
    status_at(dir.as_fd(), name).map(|status| attr::attr(&status, devices))
}

fn text(name: &CStr) -> Result<Str, Errno> {
    Str::new(name.to_bytes()).map_err(|_| Errno::NAMETOOLONG)
}

/// The type byte of a directory entry (readdir(3)).
fn d_type(kind: FileType) -> u8 {
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}
