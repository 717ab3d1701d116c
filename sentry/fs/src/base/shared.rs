//! What all file systems of a sandbox share.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use mm::{Charge, Memory};
use sched::Mutex;
use vfs::{Filesystem, Inode};

use super::{AnonInode, Devices};
use crate::gofer::Tree;

/// A file system that can be mounted, and its root.
pub type Root = (Arc<dyn Filesystem>, Arc<dyn Inode>);

/// What all file systems of a sandbox share: memory, who pays for it, device drivers, and numbers
/// that must not be given out twice. Part of the sandbox's state.
#[derive(Debug, state::Save, state::Load)]
pub struct Shared {
    memory: Arc<Memory>,
    charge: Arc<Charge>,
    #[state(skip)]
    devices: Devices,
    anonymous: Arc<AnonInode>,
    next_minor: AtomicU32,
    next_ino: AtomicU64,
    #[state(skip)]
    nesting: Mutex<()>,
    /// Trees of Gofers, in the order of mounting.
    trees: Mutex<Vec<Weak<Tree>>>,
}

/// Minor number of the internal file system of files without a name; mounts come after.
const ANONYMOUS_MINOR: u32 = 2;

impl Shared {
    /// Makes the shared part of a sandbox whose files lie in `memory` and are paid by `charge`.
    #[must_use]
    pub fn new(memory: &Arc<Memory>, charge: &Arc<Charge>) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::clone(memory),
            charge: Arc::clone(charge),
            devices: Devices::default(),
            anonymous: AnonInode::new(abi::fs::make_dev(0, ANONYMOUS_MINOR), 1),
            next_minor: AtomicU32::new(ANONYMOUS_MINOR + 1),
            next_ino: AtomicU64::new(2),
            nesting: Mutex::new(()),
            trees: Mutex::default(),
        })
    }

    /// The memory that contents lie in.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Who pays.
    #[must_use]
    pub fn charge(&self) -> &Arc<Charge> {
        &self.charge
    }

    /// The device drivers.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// A device number (`st_dev`) for a file system without a disk.
    #[must_use]
    pub fn next_dev(&self) -> u64 {
        abi::fs::make_dev(0, self.next_minor.fetch_add(1, Ordering::Relaxed))
    }

    /// `st_dev` of files without a name: pipes, memfds.
    pub(crate) fn anonymous_dev(&self) -> u64 {
        abi::fs::make_dev(0, ANONYMOUS_MINOR)
    }

    /// An inode number for a file without a name.
    pub(crate) fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The one inode of eventfds, epolls and their like.
    pub(crate) fn anonymous_inode(&self) -> &Arc<AnonInode> {
        &self.anonymous
    }

    pub(crate) fn trees(&self) -> &Mutex<Vec<Weak<Tree>>> {
        &self.trees
    }

    /// Before a save, when all is at rest: what is known of host files by numbers of the session
    /// is known by names again.
    ///
    /// # Errors
    ///
    /// A file in use that has no name any more can't be saved.
    pub fn prepare_save(&self) -> state::Result<()> {
        let trees = self.trees.lock().clone();
        trees.iter().filter_map(Weak::upgrade).try_for_each(|tree| tree.prepare_save())
    }

    /// Held while an epoll is put into another one, so that two such calls can't close a circle.
    pub(crate) fn nesting(&self) -> &Mutex<()> {
        &self.nesting
    }
}
