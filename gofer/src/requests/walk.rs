//! Going down the tree.

use std::sync::Arc;

use p9::{Attr, MAX_WALK, MAX_WALKX, NOFID, Qid, Rwalk, Rwalkx, Str, Twalk, Twalkx, Wire};
use rustix::fs::{FileType, readlinkat};
use rustix::io::Errno;

use crate::attr;
use crate::fid::Fid;
use crate::node::Node;
use crate::session::Session;
use crate::walk;

impl Session {
    /// The plain walk: all or nothing for the fid, and links are steps like others.
    pub(crate) fn walk(&mut self, t: &Twalk) -> Result<Rwalk, Errno> {
        if t.wnames.len() > MAX_WALK {
            return Err(Errno::INVAL);
        }
        let mut node = self.fids.node(t.fid)?;
        if t.newfid != t.fid {
            self.fids.check_free([t.newfid])?;
        }
        let mut wqids = Vec::with_capacity(t.wnames.len());
        for name in &t.wnames {
            match self.step(&node, name) {
                Ok((next, qid)) => {
                    node = next;
                    wqids.push(qid);
                }
                Err(errno) if wqids.is_empty() => return Err(errno),
                Err(_) => return Ok(Rwalk { wqids }),
            }
        }
        self.fids.bind(t.newfid, Fid::path(node));
        Ok(Rwalk { wqids })
    }

    fn step(&mut self, from: &Node, name: &Str) -> Result<(Arc<Node>, Qid), Errno> {
        let (node, status) = Node::new(walk::step(from, &walk::name(name)?)?)?;
        Ok((Arc::new(node), self.devices.qid(&status)))
    }

    /// The walk of the extension: tells what it met, stops at the first link, may open the end.
    pub(crate) fn walkx(&mut self, t: &Twalkx) -> Result<Rwalkx, Errno> {
        let room = usize::try_from(self.msize).unwrap_or(0).saturating_sub(LINK_ROOM) / Attr::MIN;
        if t.steps.is_empty() || t.steps.len() > room.min(MAX_WALKX) {
            return Err(Errno::INVAL);
        }
        let open = t.open.filter(|how| how.newfid != NOFID);
        let new = t.steps.iter().map(|step| step.newfid).chain(open.map(|how| how.newfid));
        self.check_distinct(new)?;

        let mut node = self.fids.node(t.fid)?;
        let mut answer = Rwalkx::default();
        for step in &t.steps {
            match self.stepx(&node, &step.name) {
                Ok((next, attr)) => {
                    node = next;
                    answer.attrs.push(attr);
                    self.fids.bind(step.newfid, Fid::path(Arc::clone(&node)));
                }
                Err(errno) => {
                    answer.ecode = errno.raw_os_error().unsigned_abs();
                    return Ok(answer);
                }
            }
            if node.kind() == FileType::Symlink {
                answer.target = target(&node)?;
                return Ok(answer);
            }
        }
        answer.opened = t.open.map(|how| {
            let state = self.open(&node, how.flags);
            self.hand_out_or_say_why(&node, state, how)
        });
        Ok(answer)
    }

    fn stepx(&mut self, from: &Node, name: &Str) -> Result<(Arc<Node>, Attr), Errno> {
        let (node, status) = Node::new(walk::step(from, &walk::name(name)?)?)?;
        Ok((Arc::new(node), attr::attr(&status, &mut self.devices)))
    }

    /// Checks that fids are free and that none is named twice.
    pub(crate) fn check_distinct(&self, new: impl Iterator<Item = u32>) -> Result<(), Errno> {
        let mut new: Vec<u32> = new.filter(|fid| *fid != NOFID).collect();
        new.sort_unstable();
        if new.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Errno::BADF);
        }
        self.fids.check_free(new)
    }
}

/// Room that an `Rwalkx` needs besides attributes: the longest link target and the fixed fields.
const LINK_ROOM: usize = 4096 + 64;

/// Where a link leads.
pub(crate) fn target(link: &Node) -> Result<Str, Errno> {
    let target = readlinkat(link, c"", Vec::new())?;
    Str::new(target.into_bytes()).map_err(|_| Errno::NAMETOOLONG)
}
