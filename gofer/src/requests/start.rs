//! Starting a session, getting a first fid, and giving fids back.

use p9::{
    Dialect, MIN_MSIZE, Rattach, Rclunk, Rclunkx, Rremove, Rversion, Str, Tattach, Tclunkx,
    Tversion, UNKNOWN_VERSION,
};
use rustix::io::Errno;

use crate::fid::{Fid, State};
use crate::session::Session;

impl Session {
    /// Begins anew: forgets all fids and agrees on a language and a message size.
    pub(crate) fn version(&mut self, t: &Tversion) -> Rversion {
        self.fids.clear();
        self.msize = t.msize.min(self.limits.msize);
        // A smaller message could not hold the longest name or one entry of a directory.
        self.dialect = Dialect::offered(&t.version).filter(|_| self.msize >= MIN_MSIZE);
        let version = self.dialect.map_or(UNKNOWN_VERSION, Dialect::version);
        if self.dialect.is_none() {
            self.msize = MIN_MSIZE;
        }
        Rversion { msize: self.msize, version: Str::new(version).unwrap_or_default() }
    }

    pub(crate) fn attach(&mut self, t: &Tattach) -> Result<Rattach, Errno> {
        let names = [self.tree.name.as_bytes(), b"", b"/"];
        if !names.contains(&t.aname.as_bytes()) {
            return Err(Errno::NOENT);
        }
        self.fids.check_free([t.fid])?;
        let qid = self.devices.qid(&self.tree.root.status()?);
        self.fids.bind(t.fid, Fid::path(self.tree.root.clone()));
        Ok(Rattach { qid })
    }

    /// Forgets a fid. One that collected an extended attribute sets it now.
    pub(crate) fn clunk(&mut self, fid: u32) -> Result<Rclunk, Errno> {
        let fid = self.fids.remove(fid)?;
        if let State::XattrWrite(attribute) = &fid.state {
            self.finish_xattr(&fid.node, attribute)?;
        }
        Ok(Rclunk {})
    }

    /// Forgets many fids. All that exist are gone even if one does not.
    pub(crate) fn clunkx(&mut self, t: &Tclunkx) -> Result<Rclunkx, Errno> {
        let mut result = Ok(Rclunkx {});
        for fid in &t.fids {
            let one = self.clunk(*fid);
            result = result.and_then(|all| one.map(|_| all));
        }
        result
    }

    /// A fid does not know which of a file's names it was walked by, so this only forgets it; clients
    /// then use `Tunlinkat`, as Linux does in the first place.
    pub(crate) fn remove(&mut self, fid: u32) -> Result<Rremove, Errno> {
        self.fids.remove(fid)?;
        Err(Errno::OPNOTSUPP)
    }
}
