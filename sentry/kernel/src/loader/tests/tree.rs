//! A file system of one directory whose files are given.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use abi::{Errno, fs::mode};
use mm::{Charge, Mappable, Memory, SharedMemory};
use vfs::{Ctx, Dst, File, Filesystem, Inode, Metadata, Name, SetAttr, StatFs};

/// A file or the directory.
#[derive(Clone, Debug)]
pub(super) struct Node {
    mode: u32,
    uid: u32,
    bytes: Arc<Vec<u8>>,
    memory: Option<Arc<SharedMemory>>,
    entries: BTreeMap<Vec<u8>, Node>,
}

impl Node {
    /// A file of root.
    pub(super) fn file(memory: &Arc<Memory>, charge: &Arc<Charge>, bytes: &[u8]) -> Self {
        let shared = SharedMemory::new(memory, charge, bytes.len() as u64, "/file".to_owned());
        shared.cache().write_at(0, bytes).unwrap();
        Self {
            mode: mode::S_IFREG | 0o755,
            uid: 0,
            bytes: Arc::new(bytes.to_vec()),
            memory: Some(shared),
            entries: BTreeMap::new(),
        }
    }

    pub(super) fn with(self, permissions: u32, uid: u32) -> Self {
        Self { mode: (self.mode & mode::S_IFMT) | permissions, uid, ..self }
    }

    pub(super) fn dir(entries: BTreeMap<Vec<u8>, Self>) -> Self {
        let mode = mode::S_IFDIR | 0o755;
        Self { mode, uid: 0, bytes: Arc::default(), memory: None, entries }
    }
}

impl Node {
    /// What the directory holds under `name`.
    pub(super) fn entry(&self, name: &[u8]) -> Option<Self> {
        self.entries.get(name).cloned()
    }
}

state::cannot_save!(Node);

impl Inode for Node {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let size = self.bytes.len() as u64;
        Ok(Metadata { mode: self.mode, uid: self.uid, size, ..Metadata::default() })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(self)
    }

    fn lookup(&self, _cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let node = self.entries.get(name.as_bytes()).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(node.clone()))
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs::default())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl File for Node {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        // Short reads are what callers have to cope with.
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        dst.put(&rest[..rest.len().min(dst.remaining()).min(100)])
    }

    fn seekable(&self) -> bool {
        true
    }

    fn mappable(&self, _cx: &Ctx<'_>, _writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        let memory = self.memory.clone().ok_or(Errno::ENODEV)?;
        Ok(memory)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
pub(super) struct Tree;

state::cannot_save!(Tree);

impl Filesystem for Tree {
    fn kind(&self) -> &'static str {
        "test"
    }
}
