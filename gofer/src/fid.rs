//! The files that a client has names for.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use p9::{NOFID, OpenFlags};
use rustix::io::Errno;

use crate::node::Node;

/// What a fid is besides a name.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing: it can be walked from and opened.
    Path,
    /// An open regular file; shared with the answer that donates it.
    File(Arc<OwnedFd>, OpenFlags),
    /// An open directory.
    Dir(OwnedFd),
    /// An extended attribute, or the list of them, to be read.
    XattrRead(Vec<u8>),
    /// An extended attribute to be written, then set by the clunk.
    XattrWrite(XattrWrite),
}

/// An extended attribute on its way to a file.
#[derive(Debug)]
pub(crate) struct XattrWrite {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u32,
    pub(crate) size: usize,
    pub(crate) value: Vec<u8>,
}

/// A client's name for a file.
#[derive(Debug)]
pub(crate) struct Fid {
    pub(crate) node: Arc<Node>,
    pub(crate) state: State,
}

impl Fid {
    /// A fid that is only a name.
    pub(crate) fn path(node: Arc<Node>) -> Self {
        Self { node, state: State::Path }
    }

    /// The open file, if it is one.
    pub(crate) fn file(&self) -> Result<(&OwnedFd, OpenFlags), Errno> {
        match &self.state {
            State::File(file, flags) => Ok((file, *flags)),
            State::Dir(_) => Err(Errno::ISDIR),
            _ => Err(Errno::BADF),
        }
    }
}

/// The fids of a session.
#[derive(Debug)]
pub(crate) struct Fids {
    table: BTreeMap<u32, Fid>,
    most: usize,
}

impl Fids {
    /// An empty table with room for `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: BTreeMap::new(), most }
    }

    /// Looks a fid up.
    pub(crate) fn get(&self, fid: u32) -> Result<&Fid, Errno> {
        self.table.get(&fid).ok_or(Errno::BADF)
    }

    /// Looks a fid up to change it.
    pub(crate) fn get_mut(&mut self, fid: u32) -> Result<&mut Fid, Errno> {
        self.table.get_mut(&fid).ok_or(Errno::BADF)
    }

    /// The file that a fid names.
    pub(crate) fn node(&self, fid: u32) -> Result<Arc<Node>, Errno> {
        self.get(fid).map(|fid| Arc::clone(&fid.node))
    }

    /// Checks that `count` new fids fit and that none of `new` is taken. `NOFID` always is free.
    pub(crate) fn check_free(&self, new: impl IntoIterator<Item = u32>) -> Result<(), Errno> {
        let mut room = self.most.saturating_sub(self.table.len());
        for fid in new.into_iter().filter(|fid| *fid != NOFID) {
            if self.table.contains_key(&fid) {
                return Err(Errno::BADF);
            }
            room = room.checked_sub(1).ok_or(Errno::MFILE)?;
        }
        Ok(())
    }

    /// Binds `fid`, unless it is `NOFID`. A fid that is taken is bound anew.
    pub(crate) fn bind(&mut self, fid: u32, to: Fid) {
        if fid != NOFID {
            self.table.insert(fid, to);
        }
    }

    /// Forgets `fid`.
    pub(crate) fn remove(&mut self, fid: u32) -> Result<Fid, Errno> {
        self.table.remove(&fid).ok_or(Errno::BADF)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }
}
