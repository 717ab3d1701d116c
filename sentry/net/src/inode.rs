//! What fstat(2) shows of a socket.

use std::{any::Any, sync::Arc};

use abi::{Errno, fs::mode::S_IFSOCK};
use sched::Mutex;
use vfs::{Ctx, File, Inode, Metadata, SetAttr, StatFs};

/// `SOCKFS_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x534f_434b;
/// Minor number of the internal file system of sockets. `fs` gives out those from 2 on, upwards.
const MINOR: u32 = 0xf_ff00;

/// The inode of a socket, which has no name.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct SocketInode {
    ino: u64,
    #[state(early)]
    owner: Mutex<Owner>,
}

#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl SocketInode {
    pub(crate) fn new(cx: &Ctx<'_>, ino: u64) -> Arc<Self> {
        let owner = Owner { uid: cx.creds.fsuid, gid: cx.creds.fsgid, mode: 0o777 };
        Arc::new(Self { ino, owner: Mutex::new(owner) })
    }

    pub(crate) fn ino(&self) -> u64 {
        self.ino
    }
}

impl Inode for SocketInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let owner = *self.owner.lock();
        Ok(Metadata {
            dev: abi::fs::make_dev(0, MINOR),
            ino: self.ino,
            mode: S_IFSOCK | owner.mode,
            nlink: 1,
            uid: owner.uid,
            gid: owner.gid,
            block_size: 4096,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut owner = self.owner.lock();
        owner.uid = change.uid.unwrap_or(owner.uid);
        owner.gid = change.gid.unwrap_or(owner.gid);
        owner.mode = change.mode.unwrap_or(owner.mode) & 0o7777;
        Ok(())
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
