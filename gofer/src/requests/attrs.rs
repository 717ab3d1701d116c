//! Attributes of files and figures of file systems.

use std::sync::Arc;

use p9::{Rgetattr, Rreadlink, Rsetattr, Rstatfs, SetAttr, SetAttrMask, StatFs, Tsetattr};
use rustix::fs::{
    AtFlags, FileType, OFlags, chmodat, chownat, fstatfs, fstatvfs, ftruncate, utimensat,
};
use rustix::io::Errno;

use super::walk::target;
use crate::attr::{self, gid, permissions, uid};
use crate::fid::{Fid, State};
use crate::node::Node;
use crate::open::ProcFd;
use crate::session::Session;

impl Session {
    pub(crate) fn getattr(&mut self, fid: u32) -> Result<Rgetattr, Errno> {
        let status = self.fids.get(fid)?.node.status()?;
        Ok(Rgetattr { attr: attr::attr(&status, &mut self.devices) })
    }

    pub(crate) fn readlink(&mut self, fid: u32) -> Result<Rreadlink, Errno> {
        let node = self.fids.node(fid)?;
        if node.kind() != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        Ok(Rreadlink { target: target(&node)? })
    }

    /// Length first, since it clears bits and moves times; mode after owner for the same reason.
    pub(crate) fn setattr(&mut self, t: &Tsetattr) -> Result<Rsetattr, Errno> {
        self.writable()?;
        let fid = self.fids.get(t.fid)?;
        let (new, node) = (&t.attr, Arc::clone(&fid.node));
        let times = attr::times(new)?;
        if new.valid.contains(SetAttrMask::SIZE) {
            self.truncate(fid, new.size)?;
        }
        self.set_owner(&node, new)?;
        let proc = &self.tree.proc.0;
        if new.valid.contains(SetAttrMask::MODE) {
            chmodat(proc, ProcFd::path(&node), permissions(new.mode), AtFlags::empty())?;
        }
        if let Some(times) = times {
            utimensat(proc, ProcFd::path(&node), &times, AtFlags::empty())?;
        }
        Ok(Rsetattr {})
    }

    /// Changes owner and group. A change time asked for alone is moved by a change to nobody.
    fn set_owner(&self, node: &Node, new: &SetAttr) -> Result<(), Errno> {
        let uid = uid(new.uid).filter(|_| new.valid.contains(SetAttrMask::UID));
        let gid = gid(new.gid).filter(|_| new.valid.contains(SetAttrMask::GID));
        if uid.is_some() || gid.is_some() || new.valid == SetAttrMask::CTIME {
            chownat(node, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    fn truncate(&self, fid: &Fid, size: u64) -> Result<(), Errno> {
        match &fid.state {
            State::File(file, flags) if flags.writes() => ftruncate(file, size),
            _ if fid.node.kind() == FileType::Directory => Err(Errno::ISDIR),
            _ => ftruncate(self.tree.proc.open(&fid.node, OFlags::WRONLY)?, size),
        }
    }

    pub(crate) fn statfs(&mut self, fid: u32) -> Result<Rstatfs, Errno> {
        let node = self.fids.node(fid)?;
        let from = fstatfs(&node)?;
        // The one figure that statfs's own form does not show.
        let fsid = fstatvfs(&node)?.f_fsid;
        let low = |n: i64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
        let stat = StatFs {
            kind: low(from.f_type),
            bsize: low(from.f_bsize),
            blocks: from.f_blocks,
            bfree: from.f_bfree,
            bavail: from.f_bavail,
            files: from.f_files,
            ffree: from.f_ffree,
            fsid,
            namelen: low(from.f_namelen),
        };
        Ok(Rstatfs { stat })
    }
}
