//! Device drivers by device number.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use abi::Errno;
use sched::Mutex;
use vfs::{Ctx, File, Inode};

/// Character or block device: each kind has numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, state::Save, state::Load)]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// A device driver.
pub trait Device: Any + Send + Sync + fmt::Debug {
    /// Opens the device through the device file `inode`.
    ///
    /// # Errors
    ///
    /// As open(2) of such a device.
    fn open(
        self: Arc<Self>,
        cx: &Ctx<'_>,
        inode: Arc<dyn Inode>,
        flags: u32,
    ) -> Result<Arc<dyn File>, Errno>;
}

/// The drivers of a sandbox. A device file on any file system leads here by its number.
#[derive(Debug, Default)]
pub struct Devices {
    drivers: Mutex<BTreeMap<(DeviceKind, u64), Arc<dyn Device>>>,
}

impl Devices {
    /// Puts a driver behind a number, in place of one that was there.
    pub fn register(&self, kind: DeviceKind, rdev: u64, driver: Arc<dyn Device>) {
        let old = self.drivers.lock().insert((kind, rdev), driver);
        drop(old);
    }

    /// Opens the device with this number through `inode`.
    ///
    /// # Errors
    ///
    /// `ENXIO` if there is no driver, or what the driver says.
    pub fn open(
        &self,
        cx: &Ctx<'_>,
        (kind, rdev): (DeviceKind, u64),
        inode: Arc<dyn Inode>,
        flags: u32,
    ) -> Result<Arc<dyn File>, Errno> {
        let driver = self.drivers.lock().get(&(kind, rdev)).cloned();
        driver.ok_or(Errno::ENXIO)?.open(cx, inode, flags)
    }
}
