//! Names of files: links, moves, removals.

use p9::{Rlink, Rrenameat, Rrenamex, Runlinkat, Str, Tlink, Trenameat, Trenamex, Tunlinkat};
use rustix::fs::{AtFlags, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::open::ProcFd;
use crate::session::Session;
use crate::walk;

impl Session {
    pub(crate) fn link(&mut self, t: &Tlink) -> Result<Rlink, Errno> {
        self.writable()?;
        let dir = self.fids.node(t.dfid)?;
        let node = self.fids.node(t.fid)?;
        let name = walk::name(&t.name)?;
        // The link that is followed is the one in /proc, to the file itself.
        let path = ProcFd::path(&node);
        linkat(&self.tree.proc.0, path, &dir, &name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(Rlink {})
    }

    pub(crate) fn renameat(&mut self, t: &Trenameat) -> Result<Rrenameat, Errno> {
        let (from, to) = ((t.olddirfid, &t.oldname), (t.newdirfid, &t.newname));
        self.rename(from, to, RenameFlags::empty())?;
        Ok(Rrenameat {})
    }

    pub(crate) fn renamex(&mut self, t: &Trenamex) -> Result<Rrenamex, Errno> {
        let flags = RenameFlags::from_bits(t.flags).ok_or(Errno::INVAL)?;
        // A whiteout is a device file: overlays make their own.
        if flags.intersects(!(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE)) {
            return Err(Errno::INVAL);
        }
        self.rename((t.olddirfid, &t.oldname), (t.newdirfid, &t.newname), flags)?;
        Ok(Rrenamex {})
    }

    fn rename(&self, from: (u32, &Str), to: (u32, &Str), flags: RenameFlags) -> Result<(), Errno> {
        self.writable()?;
        let (old, new) = (self.fids.node(from.0)?, self.fids.node(to.0)?);
        renameat_with(&old, walk::name(from.1)?, &new, walk::name(to.1)?, flags)
    }

    pub(crate) fn unlinkat(&mut self, t: &Tunlinkat) -> Result<Runlinkat, Errno> {
        self.writable()?;
        let flags = AtFlags::from_bits(t.flags).ok_or(Errno::INVAL)?;
        if flags.intersects(!AtFlags::REMOVEDIR) {
            return Err(Errno::INVAL);
        }
        let dir = self.fids.node(t.dirfid)?;
        unlinkat(&dir, walk::name(&t.name)?, flags)?;
        Ok(Runlinkat {})
    }
}
