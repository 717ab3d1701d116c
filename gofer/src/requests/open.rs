//! Opening files that are there.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use p9::{NOFID, OpenFlags, OpenHow, Opened, Rlopen, Ropenx, Tlopen, Topenx};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::attr;
use crate::fid::{Fid, State};
use crate::node::Node;
use crate::open::{changes, host_flags};
use crate::session::Session;

impl Session {
    pub(crate) fn lopen(&mut self, t: &Tlopen) -> Result<Rlopen, Errno> {
        let fid = self.fids.get(t.fid)?;
        if !matches!(fid.state, State::Path) {
            return Err(Errno::INVAL);
        }
        let node = Arc::clone(&fid.node);
        let state = self.open(&node, t.flags)?;
        let qid = self.devices.qid(&node.status()?);
        self.fids.get_mut(t.fid)?.state = state;
        Ok(Rlopen { qid, iounit: 0 })
    }

    pub(crate) fn openx(&mut self, t: &Topenx) -> Result<Ropenx, Errno> {
        let node = self.fids.node(t.fid)?;
        self.fids.check_free([t.open.newfid])?;
        let state = self.open(&node, t.open.flags)?;
        let attr = attr::attr(&node.status()?, &mut self.devices);
        let opened = self.hand_out(&node, state, t.open);
        Ok(Ropenx { attr, opened })
    }

    /// The same for a request that has more to tell than how the opening went.
    pub(crate) fn hand_out_or_say_why(
        &mut self,
        node: &Arc<Node>,
        state: Result<State, Errno>,
        how: OpenHow,
    ) -> Opened {
        match state {
            Ok(state) => self.hand_out(node, state, how),
            Err(errno) => {
                Opened { ecode: errno.raw_os_error().unsigned_abs(), ..Opened::default() }
            }
        }
    }

    /// Opens a node as a client may: no change of a read-only tree, no writing of directories.
    pub(crate) fn open(&self, node: &Node, flags: OpenFlags) -> Result<State, Errno> {
        if changes(flags) {
            self.writable()?;
        }
        let host = host_flags(flags)?;
        if node.kind() != FileType::Directory {
            return Ok(State::File(Arc::new(self.tree.proc.open(node, host)?), flags));
        }
        if changes(flags) {
            return Err(Errno::ISDIR);
        }
        self.tree.proc.open(node, host | OFlags::DIRECTORY).map(State::Dir)
    }

    /// Gives an open file to the client in the ways it asked for. Directories are never donated: with
    /// a descriptor of one, its holder could open what is in it.
    fn hand_out(&mut self, node: &Arc<Node>, state: State, how: OpenHow) -> Opened {
        let donated: Option<Arc<OwnedFd>> = match &state {
            State::File(file, _) if how.donate => Some(Arc::clone(file)),
            _ => None,
        };
        let fd = donated.is_some();
        self.donation = donated;
        if how.newfid != NOFID {
            self.fids.bind(how.newfid, Fid { node: Arc::clone(node), state });
        }
        Opened { ecode: 0, iounit: 0, fd }
    }
}
