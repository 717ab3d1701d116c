//! A mounted tree of a Gofer.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use abi::Errno;
use host::Reactor;
use p9::Attr;
use sched::{Fiber, Mutex};
use vfs::Filesystem;

use super::{
    client::Client,
    inode::{Fid, Node},
    recent::Recent,
};
use crate::{Root, Shared};

/// Who may change the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub enum Caching {
    /// Only this sandbox: what is known stays true.
    Exclusive,
    /// Others too: every look at a name asks the Gofer.
    Shared,
}

/// How long what a shared tree told is taken for true: as long as a path walk may take.
const FRESH_NS: u64 = 1_000_000;
/// Inodes that stay known although nobody holds them.
const RECENT_EXCLUSIVE: usize = 8192;
/// The same where little is gained by it.
const RECENT_SHARED: usize = 256;
/// Files that stay open although nobody has them open.
const IDLE_OPEN_MAX: usize = 512;

/// A tree of a Gofer.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Which one it is, in the order of mounting.
    pub(super) number: usize,
    pub(super) client: Arc<Client>,
    pub(super) shared: Arc<Shared>,
    pub(super) dev: u64,
    pub(super) caching: Caching,
    pub(super) nodes: Mutex<BTreeMap<u64, Weak<Node>>>,
    pub(super) recent: Recent,
    /// Inodes whose files stay open, the oldest first.
    pub(super) open: Mutex<VecDeque<Weak<Node>>>,
}

impl Tree {
    pub(super) fn is_exclusive(&self) -> bool {
        self.caching == Caching::Exclusive
    }

    /// True if what was told at `told_ns` may still be taken for true.
    pub(super) fn is_fresh(&self, told_ns: u64) -> bool {
        self.is_exclusive() || host::clock::monotonic_ns().saturating_sub(told_ns) < FRESH_NS
    }

    /// The inode with these attributes, which the Gofer told when asked at `asked_ns`.
    pub(super) fn node(self: &Arc<Self>, attr: &Attr, fid: Fid, asked_ns: u64) -> Arc<Node> {
        let known = {
            let mut nodes = self.nodes.lock();
            let known = nodes.get(&attr.qid.path).and_then(Weak::upgrade);
            match known.filter(|node| node.is_kind_of(attr)) {
                Some(node) => Ok((node, fid)),
                None => {
                    let node = Node::new(self, attr, fid, asked_ns);
                    nodes.insert(attr.qid.path, Arc::downgrade(&node));
                    Err(node)
                }
            }
        };
        let node = match known {
            Ok((node, fid)) => {
                node.adopt(fid);
                if !self.is_exclusive() {
                    node.update(attr, asked_ns);
                }
                node
            }
            Err(new) => new,
        };
        self.recent.touch(&node);
        node
    }

    /// An inode was dropped.
    pub(super) fn dropped(&self, ino: u64) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&ino).is_some_and(|node| node.strong_count() == 0) {
            nodes.remove(&ino);
        }
    }

    /// A file was opened and stays so for a while: closes the one that is open for longest.
    pub(super) fn opened(&self, node: &Arc<Node>) {
        let oldest = {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(node));
            if open.len() > IDLE_OPEN_MAX { open.pop_front() } else { None }
        };
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.close_when_idle();
        }
    }
}

/// What is mounted: holds the inodes that nobody else does.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "gofer::Mounted")]
pub(crate) struct Mounted(Arc<Tree>);

impl Filesystem for Mounted {
    fn kind(&self) -> &'static str {
        "9p"
    }

    fn options(&self) -> String {
        let cache = if self.0.is_exclusive() { "loose" } else { "none" };
        format!("trans=fd,version=9p2000.L,cache={cache}")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.0.recent.clear();
    }
}

/// Starts a session with the Gofer at the other end of `socket` and mounts its tree.
///
/// # Errors
///
/// `EPROTO` if it does not speak our language, `EIO` if it is gone, or what it says.
pub fn mount(
    fiber: &Fiber<'_>,
    shared: &Arc<Shared>,
    reactor: &Arc<Reactor>,
    socket: OwnedFd,
    caching: Caching,
) -> Result<Root, Errno> {
    let (client, fid) = Client::start(fiber, reactor, socket)?;
    let asked = host::clock::monotonic_ns();
    let attr = client.attributes(fiber, fid)?;
    let capacity = match caching {
        Caching::Exclusive => RECENT_EXCLUSIVE,
        Caching::Shared => RECENT_SHARED,
    };
    let mut trees = shared.trees().lock();
    let tree = Arc::new(Tree {
        number: trees.len(),
        client,
        shared: Arc::clone(shared),
        dev: shared.next_dev(),
        caching,
        nodes: Mutex::default(),
        recent: Recent::new(capacity),
        open: Mutex::default(),
    });
    trees.push(Arc::downgrade(&tree));
    drop(trees);
    let root = tree.node(&attr, Fid::Bound(fid), asked);
    Ok((Arc::new(Mounted(tree)), root))
}
