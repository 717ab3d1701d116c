//! Permission checks (`path_resolution(7)`, inode(7)).

use abi::{Errno, fs::mode};
use auth::Capability;

use crate::{Ctx, Metadata, Path};

/// Permission to read.
pub(crate) const READ: u32 = 4;
/// Permission to write.
pub(crate) const WRITE: u32 = 2;
/// Permission to execute or search.
pub(crate) const EXECUTE: u32 = 1;

impl Ctx<'_> {
    /// Checks `wanted` (4 read, 2 write, 1 execute) against owner, group and mode.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub fn check(&self, meta: &Metadata, wanted: u32) -> Result<(), Errno> {
        if self.creds.may_access(meta.uid, meta.gid, meta.mode, wanted) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Checks that entries of `dir` may be made or removed.
    pub(crate) fn check_change(&self, dir: &Path) -> Result<Metadata, Errno> {
        if dir.mount.flags().read_only {
            return Err(Errno::EROFS);
        }
        let meta = dir.inode().metadata(self)?;
        if !meta.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        self.check(&meta, WRITE | EXECUTE)?;
        Ok(meta)
    }

    /// Checks that the entry with inode `victim` may be removed from `dir`: in a sticky directory
    /// only the owner of either may.
    pub(crate) fn check_sticky(&self, dir: &Metadata, victim: &Metadata) -> Result<(), Errno> {
        let user = self.creds.fsuid;
        let mine = dir.mode & mode::S_ISVTX == 0 || user == victim.uid || user == dir.uid;
        if mine || self.creds.has(Capability::Fowner) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// True if the caller owns the inode or may act as if.
    #[must_use]
    pub fn owns(&self, meta: &Metadata) -> bool {
        self.creds.fsuid == meta.uid || self.creds.has(Capability::Fowner)
    }
}
