//! What all file systems of a sandbox share.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use mm::{Charge, Memory};
use sched::Mutex;
use vfs::{Filesystem, Inode};

use super::{AnonInode, Devices};

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

    /// Held while an epoll is put into another one, so that two such calls can't close a circle.
    pub(crate) fn nesting(&self) -> &Mutex<()> {
        &self.nesting
    }
}
