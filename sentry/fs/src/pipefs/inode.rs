//! The inode of a pipe.

use std::{any::Any, sync::Arc};

use abi::{Errno, fs::mode::S_IFIFO};
use sched::Mutex;
use vfs::{Ctx, File, Inode, Metadata, SetAttr, StatFs};

use crate::{
    Shared,
    base::{Attributes, pipe::Fifo},
};

/// The inode of a pipe. It has no name, but can be opened anew through `/proc/PID/fd`.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct PipeInode {
    dev: u64,
    ino: u64,
    #[state(early)]
    attributes: Mutex<Attributes>,
    fifo: Fifo,
}

/// `PIPEFS_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x5049_5045;

impl PipeInode {
    pub(super) fn new(cx: &Ctx<'_>, shared: &Shared) -> Arc<Self> {
        Arc::new(Self {
            dev: shared.anonymous_dev(),
            ino: shared.next_ino(),
            attributes: Mutex::new(Attributes::new(cx, S_IFIFO, 0o600, None)),
            fifo: Fifo::new(shared.charge()),
        })
    }

    pub(super) fn fifo(&self) -> &Fifo {
        &self.fifo
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }
}

impl Inode for PipeInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let metadata = self.attributes.lock().metadata();
        Ok(Metadata { dev: self.dev, ino: self.ino, ..metadata })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        self.attributes.lock().apply(change);
        Ok(())
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let (inode, ino) = (self.clone(), self.ino);
        Ok(self.fifo.open_again((inode, ino), flags)?)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
