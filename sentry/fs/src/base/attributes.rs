//! Attributes of an inode that lies in memory.

use abi::{
    Errno, Timespec,
    fs::mode::{S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID},
};
use auth::Capability;
use vfs::{Ctx, Metadata, SetAttr, SetTime};

/// Owner, mode, links and times of an inode.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
    btime: Timespec,
}

/// With relatime the access time of a file that is not changed moves once a day (mount(8)).
const DAY_SECS: i64 = 24 * 60 * 60;
/// Permission to execute for the group: together with set-gid it means a set-gid program.
const GROUP_EXECUTE: u32 = 0o010;

/// The present time.
fn now() -> Timespec {
    Timespec::from_ns(host::clock::realtime_ns())
}

/// Who owns an inode, and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Type and permission bits.
    pub(crate) mode: u32,
}

impl Ownership {
    /// Of a new inode of type `kind` that the caller makes, in a directory with this mode and
    /// group if it gets a name.
    pub(crate) fn of_new(cx: &Ctx<'_>, kind: u32, mode: u32, dir: Option<(u32, u32)>) -> Self {
        let (uid, gid) = (cx.creds.fsuid, cx.creds.fsgid);
        let mut new = Self { uid, gid, mode: kind | (mode & 0o7777) };
        if let Some((_, gid)) = dir.filter(|(mode, _)| mode & S_ISGID != 0) {
            new.gid = gid;
            if kind == S_IFDIR {
                new.mode |= S_ISGID;
            }
        }
        let set_gid_program = S_ISGID | GROUP_EXECUTE;
        if kind != S_IFDIR
            && new.mode & set_gid_program == set_gid_program
            && !cx.creds.in_group(new.gid)
            && !cx.creds.has(Capability::Fsetid)
        {
            new.mode &= !S_ISGID;
        }
        new
    }
}

impl Attributes {
    /// Attributes of a new inode of type `kind` that the caller makes, in a directory with the
    /// attributes `dir` if it gets a name.
    pub(crate) fn new(cx: &Ctx<'_>, kind: u32, mode: u32, dir: Option<&Self>) -> Self {
        let new = Ownership::of_new(cx, kind, mode, dir.map(|dir| (dir.mode, dir.gid)));
        Self::owned(new.uid, new.gid, new.mode)
    }

    /// Attributes of a new inode that belongs to `uid` and `gid`; `mode` includes the type.
    pub(crate) fn owned(uid: u32, gid: u32, mode: u32) -> Self {
        let nlink = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
        let now = now();
        Self { mode, uid, gid, nlink, atime: now, mtime: now, ctime: now, btime: now }
    }

    /// The part of stat(2) that is known here.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            block_size: 4096,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
            ..Metadata::default()
        }
    }

    /// Makes the changes that are not about the size.
    pub(crate) fn apply(&mut self, change: &SetAttr) {
        let now = now();
        let time = |set: SetTime| match set {
            SetTime::Now => now,
            SetTime::To(time) => time,
        };
        if let Some(mode) = change.mode {
            self.mode = (self.mode & S_IFMT) | (mode & 0o7777);
        }
        self.uid = change.uid.unwrap_or(self.uid);
        self.gid = change.gid.unwrap_or(self.gid);
        self.atime = change.atime.map_or(self.atime, time);
        self.mtime = change.mtime.map_or(self.mtime, time);
        self.ctime = now;
    }

    /// The contents were changed by the caller: times move, and a program loses its set-id bits
    /// unless the caller may keep them (chmod(2), write(2)).
    pub(crate) fn modified(&mut self, cx: &Ctx<'_>) {
        self.mtime = now();
        self.ctime = self.mtime;
        if self.mode & S_IFMT == S_IFREG && !cx.creds.has(Capability::Fsetid) {
            self.mode &= !S_ISUID;
            if self.mode & GROUP_EXECUTE != 0 {
                self.mode &= !S_ISGID;
            }
        }
    }

    /// An entry of the directory was made or removed.
    pub(crate) fn entries_changed(&mut self) {
        self.mtime = now();
        self.ctime = self.mtime;
    }

    /// Something else about the inode was changed.
    pub(crate) fn changed(&mut self) {
        self.ctime = now();
    }

    /// The contents were read: moves the access time as `relatime` does.
    pub(crate) fn accessed(&mut self) {
        let now = now();
        let stale = self.atime <= self.mtime || self.atime <= self.ctime;
        if stale || now.sec.saturating_sub(self.atime.sec) >= DAY_SECS {
            self.atime = now;
        }
    }

    /// One more name.
    pub(crate) fn add_link(&mut self) -> Result<(), Errno> {
        self.nlink = self.nlink.checked_add(1).ok_or(Errno::EMLINK)?;
        self.changed();
        Ok(())
    }

    /// One name less.
    pub(crate) fn remove_link(&mut self) {
        self.nlink = self.nlink.saturating_sub(1);
        self.changed();
    }
}
