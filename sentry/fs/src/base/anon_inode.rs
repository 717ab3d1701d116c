//! The inode of files that have nothing to say about themselves.

use std::{any::Any, sync::Arc};

use abi::Errno;
use vfs::{Ctx, File, Inode, Metadata, SetAttr, StatFs};

/// The inode that eventfds, timerfds and epolls share, as on Linux: mode 0600 and no type.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct AnonInode {
    dev: u64,
    ino: u64,
}

/// `ANON_INODE_FS_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x0904_1934;

impl AnonInode {
    pub(crate) fn new(dev: u64, ino: u64) -> Arc<Self> {
        Arc::new(Self { dev, ino })
    }
}

impl Inode for AnonInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(Metadata {
            dev: self.dev,
            ino: self.ino,
            mode: 0o600,
            nlink: 1,
            block_size: 4096,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
