//! The directory of slaves, and the devices that lead to a terminal.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use abi::{
    Errno, Timespec,
    fs::{
        dirent_type, make_dev,
        mode::{S_IFCHR, S_IFDIR},
    },
};
use sched::Mutex;
use vfs::{Ctx, DirEntry, DirSink, File, Filesystem, Inode, Metadata, Name, SetAttr, StatFs};

use super::{Master, Slave, Terminal, terminal::caller};
use crate::{Device, DeviceKind, Shared};

/// Major number of slaves (`UNIX98_PTY_SLAVE_MAJOR`).
pub(super) const SLAVE_MAJOR: u32 = 136;
/// `DEVPTS_SUPER_MAGIC`.
const MAGIC: u64 = 0x1cd1;
/// Most terminals of one file system (Linux: `/proc/sys/kernel/pty/max`).
const TERMINALS_MAX: usize = 4096;
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_SLAVE_INO: u64 = 3;

/// A mounted devpts.
#[derive(Debug, state::Save, state::Load)]
pub struct Devpts {
    dev: u64,
    me: Mutex<Weak<Devpts>>,
    slaves: Mutex<BTreeMap<u32, Arc<SlaveInode>>>,
}

impl Filesystem for Devpts {
    fn kind(&self) -> &'static str {
        "devpts"
    }

    fn options(&self) -> String {
        "gid=5,mode=620,ptmxmode=666".to_owned()
    }
}

impl Devpts {
    /// Makes an empty file system; returns it and its root directory.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> (Arc<Self>, Arc<dyn Inode>) {
        let fs = Arc::new(Self {
            dev: shared.next_dev(),
            me: Mutex::new(Weak::new()),
            slaves: Mutex::default(),
        });
        *fs.me.lock() = Arc::downgrade(&fs);
        let root = Arc::new(RootInode { fs: fs.clone() });
        (fs, root)
    }

    /// Makes a terminal; its slave is there under its number until the master is closed.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are too many.
    pub fn create(self: &Arc<Self>, uid: u32, locked: bool) -> Result<Arc<Master>, Errno> {
        let mut slaves = self.slaves.lock();
        if slaves.len() >= TERMINALS_MAX {
            return Err(Errno::ENOSPC);
        }
        let index = (0..).find(|index| !slaves.contains_key(index)).unwrap_or(0);
        let terminal = Terminal::new(index, locked);
        let attributes = Attributes { mode: 0o620, uid, gid: 5, time: now() };
        let slave = Arc::new(SlaveInode {
            dev: self.dev,
            terminal: terminal.clone(),
            attributes: Mutex::new(attributes),
        });
        slaves.insert(index, slave);
        drop(slaves);
        let ptmx = Arc::new(PtmxInode { fs: self.clone() });
        Ok(Master::new(terminal, self, ptmx))
    }

    /// The slave's inode.
    #[must_use]
    pub fn slave(&self, index: u32) -> Option<Arc<dyn Inode>> {
        let slave = self.slaves.lock().get(&index).cloned();
        slave.map(|slave| slave as Arc<dyn Inode>)
    }

    pub(super) fn remove(&self, index: u32) {
        let gone = self.slaves.lock().remove(&index);
        drop(gone);
    }
}

fn now() -> Timespec {
    Timespec::from_ns(host::clock::realtime_ns())
}

#[derive(Clone, Copy, Debug, state::Save, state::Load)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    time: Timespec,
}

fn stat_fs() -> StatFs {
    StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() }
}

#[derive(Debug, state::Save, state::Load)]
#[state(name = "devpts::RootInode")]
pub(crate) struct RootInode {
    fs: Arc<Devpts>,
}

impl Inode for RootInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(Metadata {
            dev: self.fs.dev,
            ino: ROOT_INO,
            mode: S_IFDIR | 0o755,
            nlink: 2,
            block_size: 1024,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(Directory { inode: self }))
    }

    fn lookup(&self, _cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        if name.as_bytes() == b"ptmx" {
            return Ok(Arc::new(PtmxInode { fs: self.fs.clone() }));
        }
        let text = std::str::from_utf8(name.as_bytes()).map_err(|_| Errno::ENOENT)?;
        let index: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        if index.to_string() != text {
            return Err(Errno::ENOENT);
        }
        self.fs.slave(index).ok_or(Errno::ENOENT)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(stat_fs())
    }

    fn cacheable(&self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug, state::Save, state::Load)]
#[state(name = "devpts::Directory")]
pub(crate) struct Directory {
    inode: Arc<RootInode>,
}

impl File for Directory {
    fn seekable(&self) -> bool {
        true
    }

    fn read_dir(&self, _cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let directory = dirent_type(S_IFDIR);
        let device = dirent_type(S_IFCHR);
        let mut entries: Vec<(u64, u64, u8, String)> = vec![
            (0, ROOT_INO, directory, ".".to_owned()),
            (1, ROOT_INO, directory, "..".to_owned()),
            (2, PTMX_INO, device, "ptmx".to_owned()),
        ];
        let slaves: Vec<u32> = self.inode.fs.slaves.lock().keys().copied().collect();
        for index in slaves {
            let number = u64::from(index) + FIRST_SLAVE_INO;
            entries.push((number, number, device, index.to_string()));
        }
        let mut next = cursor;
        for (at, ino, kind, name) in entries.iter().filter(|entry| entry.0 >= cursor) {
            let entry = DirEntry { ino: *ino, next: at + 1, kind: *kind, name: name.as_bytes() };
            if !sink.add(entry) {
                break;
            }
            next = at + 1;
        }
        Ok(next)
    }

    fn size(&self, _cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug, state::Save, state::Load)]
pub(crate) struct PtmxInode {
    fs: Arc<Devpts>,
}

impl Inode for PtmxInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(Metadata {
            dev: self.fs.dev,
            ino: PTMX_INO,
            mode: S_IFCHR | 0o666,
            nlink: 1,
            rdev: make_dev(5, 2),
            block_size: 1024,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(self.fs.create(cx.creds.fsuid, true)?)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug, state::Save, state::Load)]
pub(crate) struct SlaveInode {
    dev: u64,
    terminal: Arc<Terminal>,
    #[state(early)]
    attributes: Mutex<Attributes>,
}

impl Inode for SlaveInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let attributes = *self.attributes.lock();
        let index = self.terminal.index;
        Ok(Metadata {
            dev: self.dev,
            ino: u64::from(index) + FIRST_SLAVE_INO,
            mode: S_IFCHR | attributes.mode,
            nlink: 1,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: make_dev(SLAVE_MAJOR, index),
            block_size: 1024,
            atime: attributes.time,
            mtime: attributes.time,
            ctime: attributes.time,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        attributes.mode = change.mode.unwrap_or(attributes.mode);
        attributes.uid = change.uid.unwrap_or(attributes.uid);
        attributes.gid = change.gid.unwrap_or(attributes.gid);
        Ok(())
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let terminal = self.terminal.clone();
        Ok(Slave::open(&terminal, self, cx, flags)?)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `/dev/tty`: the caller's controlling terminal. `/dev/console`: that of the container, if any.
#[derive(Debug)]
pub enum TtyDevice {
    /// Device 5:0.
    Controlling,
    /// Device 5:1.
    Console(Arc<Terminal>),
}

impl TtyDevice {
    /// Puts `/dev/tty` behind its number.
    pub fn register(shared: &Shared) {
        shared.devices().register(DeviceKind::Char, make_dev(5, 0), Arc::new(Self::Controlling));
    }

    /// Puts the container's terminal behind the number of `/dev/console`.
    pub fn register_console(shared: &Shared, terminal: Arc<Terminal>) {
        let console = Arc::new(Self::Console(terminal));
        shared.devices().register(DeviceKind::Char, make_dev(5, 1), console);
    }
}

impl Device for TtyDevice {
    fn open(
        self: Arc<Self>,
        cx: &Ctx<'_>,
        inode: Arc<dyn Inode>,
        flags: u32,
    ) -> Result<Arc<dyn File>, Errno> {
        let flags = flags | abi::fs::open::O_NOCTTY;
        if let Self::Console(terminal) = &*self {
            return Ok(Slave::open(terminal, inode, cx, flags)?);
        }
        let task = caller(cx).ok_or(Errno::ENXIO)?;
        let tty = {
            let tree = task.kernel.tree.lock();
            let node = tree.process(task.process.pid).ok_or(Errno::ENXIO)?;
            node.session.tty.lock().clone()
        };
        let tty: Arc<dyn Any + Send + Sync> = tty.ok_or(Errno::ENXIO)?;
        let terminal = tty.downcast::<Terminal>().map_err(|_| Errno::ENXIO)?;
        Ok(Slave::open(&terminal, inode, cx, flags)?)
    }
}
