//! Which names of a directory are known.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
};

use abi::Errno;
use p9::Attr;
use sched::Fiber;
use vfs::Name;

use super::inode::{Fid, Node};
use crate::base::Listed;

/// Most names that are remembered of one directory.
const NAMES_MAX: usize = 8192;
/// Most steps that are fetched at once.
const FETCH_MAX: usize = 32;

/// What is known of the names of a directory (and where a symbolic link leads).
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct Names {
    /// The inode itself.
    pub(super) me: Weak<Node>,
    #[state(skip)]
    known: BTreeMap<Name, Known>,
    /// All names are known.
    #[state(skip)]
    complete: bool,
    /// Grows with each change, so that an answer that raced with one is not remembered.
    #[state(skip)]
    pub(super) version: u64,
    /// Target of a symbolic link.
    pub(super) target: Option<Vec<u8>>,
}

/// What is known of a name, and since when.
#[derive(Debug)]
struct Known {
    asked_ns: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// There is no such entry.
    Absent,
    /// There is, with this inode number and type. `attr` is what a listing told, for the first
    /// who looks; from then on the inode itself knows better.
    Child { node: Weak<Node>, id: (u64, u8), attr: Option<Box<Attr>> },
}

/// The entry, if it is known without asking (`Some(None)`: known not to be there).
type Answer = Option<Option<Arc<Node>>>;

/// What a look at the known names gives.
enum Recall {
    Node(Arc<Node>),
    Told(Attr, u64),
    Absent,
    Unknown,
}

impl Names {
    /// Remembers an entry.
    pub(super) fn put(&mut self, name: &Name, node: &Arc<Node>, asked_ns: u64) {
        self.make_room();
        if let Some(me) = self.me.upgrade() {
            node.settle(me, name);
        }
        let id = (node.ino(), abi::fs::dirent_type(node.last_known().mode));
        let what = What::Child { node: Arc::downgrade(node), id, attr: None };
        self.known.insert(name.clone(), Known { asked_ns, what });
    }

    /// Remembers that there is no such entry.
    pub(super) fn put_absent(&mut self, name: &Name, asked_ns: u64) {
        self.make_room();
        self.unsettle(name);
        self.known.insert(name.clone(), Known { asked_ns, what: What::Absent });
    }

    fn make_room(&mut self) {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
            self.complete = false;
        }
    }

    /// The entry is not to be found under this name any more.
    fn unsettle(&self, name: &Name) {
        if let (Some(me), Some(node)) = (self.me.upgrade(), self.live(name)) {
            node.unsettle(&me, name);
        }
    }

    /// Knows nothing of a name any more.
    pub(super) fn drop_name(&mut self, name: &Name) {
        self.unsettle(name);
        self.known.remove(name);
        self.complete = false;
    }

    /// The entries that somebody has.
    pub(super) fn living(&self) -> Vec<(Name, Arc<Node>)> {
        let known = self.known.iter();
        known
            .filter_map(|(name, known)| match &known.what {
                What::Child { node, .. } => Some((name.clone(), node.upgrade()?)),
                What::Absent => None,
            })
            .collect()
    }

    /// The inode of an entry, if anybody has it.
    pub(super) fn live(&self, name: &Name) -> Option<Arc<Node>> {
        match &self.known.get(name)?.what {
            What::Child { node, .. } => node.upgrade(),
            What::Absent => None,
        }
    }
}

impl Node {
    fn recall(&self, name: &Name) -> (Recall, u64) {
        let mut names = self.names.lock();
        let (version, complete) = (names.version, names.complete);
        let known = names.known.get_mut(name).filter(|known| self.tree.is_fresh(known.asked_ns));
        let recall = match known {
            Some(Known { what: What::Absent, .. }) => Recall::Absent,
            Some(Known { what: What::Child { node, attr, .. }, asked_ns }) => {
                match (node.upgrade(), attr.take()) {
                    (Some(node), _) => Recall::Node(node),
                    (None, Some(attr)) => Recall::Told(*attr, *asked_ns),
                    (None, None) => Recall::Unknown,
                }
            }
            None if complete && self.tree.is_exclusive() => Recall::Absent,
            None => Recall::Unknown,
        };
        (recall, version)
    }

    /// What is known of an entry, at which version of the names.
    fn find_known(&self, name: &Name) -> Result<(Answer, u64), Errno> {
        let (recall, version) = self.recall(name);
        let found = match recall {
            Recall::Unknown => None,
            Recall::Absent => Some(None),
            Recall::Node(node) => {
                self.tree.recent.touch(&node);
                Some(Some(node))
            }
            Recall::Told(attr, asked) => {
                let fid = Fid::Named(self.me()?, name.clone());
                let node = self.tree.node(&attr, fid, asked);
                self.remember(name, &node, asked, version);
                Some(Some(node))
            }
        };
        Ok((found, version))
    }

    fn remember(&self, name: &Name, node: &Arc<Self>, asked_ns: u64, version: u64) {
        node.parent_ino.store(self.ino(), Ordering::Relaxed);
        let mut names = self.names.lock();
        if names.version == version {
            names.put(name, node, asked_ns);
        }
    }

    fn remember_absent(&self, name: &Name, asked_ns: u64, version: u64) {
        let mut names = self.names.lock();
        if names.version == version {
            names.put_absent(name, asked_ns);
        }
    }

    /// Finds an entry.
    pub(super) fn find(&self, fiber: &Fiber<'_>, name: &Name) -> Result<Arc<Self>, Errno> {
        if !self.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let (known, version) = self.find_known(name)?;
        if let Some(known) = known {
            return known.ok_or(Errno::ENOENT);
        }
        let asked = host::clock::monotonic_ns();
        let from = self.fid(fiber)?;
        let walked = self.tree.client.walk(fiber, from, std::slice::from_ref(name))?;
        let Some((attr, fid)) = walked.reached.first() else {
            let error = walked.error.unwrap_or(Errno::ENOENT);
            if error == Errno::ENOENT {
                self.remember_absent(name, asked, version);
            }
            return Err(error);
        };
        let node = self.tree.node(attr, Fid::Bound(*fid), asked);
        if walked.target.is_some() {
            node.names.lock().target = walked.target;
        }
        self.remember(name, &node, asked, version);
        Ok(node)
    }

    /// Fetches what is not known on the way down `rest`, in one question.
    pub(super) fn fetch(&self, fiber: &Fiber<'_>, rest: &[u8]) -> Result<(), Errno> {
        let mut here = self.me()?;
        let mut missing: Vec<Name> = Vec::new();
        for component in rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let Ok(name) = Name::new(component) else { break };
            if missing.is_empty()
                && let (Some(known), _) = here.find_known(&name)?
            {
                match known {
                    Some(next) if next.is_dir() => here = next,
                    _ => return Ok(()),
                }
                continue;
            }
            missing.push(name);
            if missing.len() == FETCH_MAX {
                break;
            }
        }
        // A single name is found as well by whoever looks for it.
        if missing.len() > 1 { here.fetch_names(fiber, &missing) } else { Ok(()) }
    }

    fn fetch_names(self: Arc<Self>, fiber: &Fiber<'_>, names: &[Name]) -> Result<(), Errno> {
        let asked = host::clock::monotonic_ns();
        let mut version = self.names.lock().version;
        let walked = self.tree.client.walk(fiber, self.fid(fiber)?, names)?;
        let mut here = self;
        for ((attr, fid), name) in walked.reached.iter().zip(names) {
            let node = here.tree.node(attr, Fid::Bound(*fid), asked);
            here.remember(name, &node, asked, version);
            // A directory that somebody changed meanwhile has another version than a new one.
            version = 0;
            here = node;
        }
        if walked.target.is_some() {
            here.names.lock().target = walked.target;
        }
        if walked.error == Some(Errno::ENOENT)
            && let Some(name) = names.get(walked.reached.len())
        {
            here.remember_absent(name, asked, version);
        }
        Ok(())
    }

    /// All entries, without `.` and `..`.
    pub(super) fn entries(&self, fiber: &Fiber<'_>) -> Result<Vec<Listed>, Errno> {
        let version = {
            let names = self.names.lock();
            if names.complete && self.tree.is_exclusive() {
                return Ok(names.listed());
            }
            names.version
        };
        let asked = host::clock::monotonic_ns();
        let mut all: Vec<(Listed, Option<Attr>)> = Vec::new();
        let charge = self.tree.shared.charge();
        self.tree.client.list(fiber, self.fid(fiber)?, |name, id, attr| {
            // What the host has and we could not name can't be shown.
            if let Ok(name) = Name::new(name) {
                if all.len().is_multiple_of(1024) && charge.usage().total >= charge.limit() {
                    return Err(Errno::ENOMEM);
                }
                all.push(((name, id), attr));
            }
            Ok(())
        })?;
        if self.tree.is_exclusive() && all.len() < NAMES_MAX {
            self.remember_all(&all, asked, version);
        }
        Ok(all.into_iter().map(|(listed, _)| listed).collect())
    }

    fn remember_all(&self, all: &[(Listed, Option<Attr>)], asked_ns: u64, version: u64) {
        let mut names = self.names.lock();
        if names.version != version {
            return;
        }
        let old = std::mem::take(&mut names.known);
        for ((name, id), attr) in all {
            // An inode with other names may be changed by one of them: it is asked for anew.
            let alone = |attr: &Attr| attr.nlink == 1 || attr.qid.kind.contains(p9::QidKind::DIR);
            let (node, attr) = match old.get(name) {
                Some(Known { what: What::Child { node, .. }, .. }) if node.strong_count() > 0 => {
                    (node.clone(), None)
                }
                _ => (Weak::new(), attr.filter(alone).map(Box::new)),
            };
            let what = What::Child { node, id: *id, attr };
            names.known.insert(name.clone(), Known { asked_ns, what });
        }
        names.complete = true;
    }
}

impl Names {
    fn listed(&self) -> Vec<Listed> {
        let known = self.known.iter();
        known
            .filter_map(|(name, known)| match &known.what {
                What::Child { id, .. } => Some((name.clone(), *id)),
                What::Absent => None,
            })
            .collect()
    }
}
