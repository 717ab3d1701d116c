//! A mounted procfs.

use std::sync::Arc;

use kernel::{Kernel, Pid, Process, Task};
use vfs::{Dentry, Filesystem, Inode, Mount, MountNamespace};

use super::{inode::ProcInode, node::Node};
use crate::{Shared, base::AnonInode};

/// A procfs. All instances show the same.
#[derive(Debug, state::Save, state::Load)]
pub struct Procfs {
    pub(super) kernel: Arc<Kernel>,
    pub(super) dev: u64,
    /// Where files without a name are opened again through `/proc/PID/fd`.
    pub(super) nameless: Arc<Mount>,
}

impl Filesystem for Procfs {
    fn kind(&self) -> &'static str {
        "proc"
    }
}

/// The internal file system of files without a name.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Nameless;

impl Filesystem for Nameless {
    fn kind(&self) -> &'static str {
        "anon_inodefs"
    }
}

impl Procfs {
    /// Makes one; returns it and its root directory.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, shared: &Arc<Shared>) -> (Arc<Self>, Arc<dyn Inode>) {
        let anonymous: Arc<AnonInode> = Arc::clone(shared.anonymous_inode());
        let root = Dentry::root(anonymous);
        let nameless = MountNamespace::detached(Arc::new(Nameless), root, "none");
        let fs = Arc::new(Self { kernel: kernel.clone(), dev: shared.next_dev(), nameless });
        let root = ProcInode::new(&fs, Node::Root);
        (fs, root)
    }

    /// The process of a number, zombies included.
    pub(super) fn process(&self, pid: Pid) -> Option<Arc<Process>> {
        self.kernel.tree.lock().process(pid).map(|node| node.process.clone())
    }

    /// A living task: the one of the number, or for a process whose leader has ended any other.
    pub(super) fn task(&self, pid: Pid) -> Option<Arc<Task>> {
        self.kernel.task(pid).or_else(|| self.process(pid)?.any_task())
    }
}
