//! Inodes of a tmpfs.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use abi::{
    Errno, PAGE_SIZE,
    fs::{
        dirent_type,
        mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK},
    },
};
use mm::Identity;
use sched::Mutex;
use state::live::Live;
use vfs::{Ctx, File, Inode, Metadata, Name, NewNode, RenameFlags, SetAttr, StatFs, XattrFlags};

use super::{Tmpfs, directory::Directory, file::DirFile};
use crate::base::{
    Attributes, DeviceKind, MemoryFile, OpenMemoryFile, Timed, Xattrs, memory_file::seal,
    pipe::Fifo,
};

/// An inode.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "tmpfs::Node")]
pub(crate) struct Node {
    fs: Arc<Tmpfs>,
    ino: u64,
    #[state(early)]
    pub(super) attributes: Mutex<Attributes>,
    xattrs: Xattrs,
    body: Body,
    /// Made without a name and may get one (open(2), `O_TMPFILE`).
    linkable: AtomicBool,
    #[state(skip)]
    _live: Live<Self>,
}

/// What an inode is.
#[derive(Debug, state::Save, state::Load)]
pub(super) enum Body {
    File(Arc<MemoryFile>),
    Dir(Directory),
    Symlink(Box<[u8]>),
    Device(DeviceKind, u64),
    Fifo(Fifo),
    Socket,
}

/// Longest target of a symbolic link (`PATH_MAX` with its NUL).
const TARGET_BYTES_MAX: usize = 4095;
/// What stat(2) says of the size of a directory, per entry (as Linux's tmpfs does).
const ENTRY_SIZE: u64 = 20;

impl Body {
    pub(super) fn directory(parent: Option<&Arc<Node>>) -> Self {
        Self::Dir(Directory::new(parent))
    }

    fn kind(&self) -> u32 {
        match self {
            Self::File(_) => S_IFREG,
            Self::Dir(_) => S_IFDIR,
            Self::Symlink(_) => S_IFLNK,
            Self::Device(DeviceKind::Char, _) => S_IFCHR,
            Self::Device(DeviceKind::Block, _) => S_IFBLK,
            Self::Fifo(_) => S_IFIFO,
            Self::Socket => S_IFSOCK,
        }
    }
}

impl Node {
    /// Makes an inode without a name.
    pub(super) fn new(
        fs: &Arc<Tmpfs>,
        attributes: Attributes,
        body: Body,
    ) -> Result<Arc<Self>, Errno> {
        let ino = fs.add_inode()?;
        Ok(Self::with_ino(fs, ino, attributes, body))
    }

    fn with_ino(fs: &Arc<Tmpfs>, ino: u64, attributes: Attributes, body: Body) -> Arc<Self> {
        let node = Arc::new(Self {
            fs: Arc::clone(fs),
            ino,
            attributes: Mutex::new(attributes),
            xattrs: Xattrs::new(fs.shared().charge()),
            body,
            linkable: AtomicBool::new(false),
            _live: Live::new(),
        });
        if let Body::Dir(directory) = &node.body {
            directory.lock().me = Arc::downgrade(&node);
        }
        node
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn fs(&self) -> &Arc<Tmpfs> {
        &self.fs
    }

    pub(super) fn dirent_kind(&self) -> u8 {
        dirent_type(self.body.kind())
    }

    pub(super) fn directory(&self) -> Result<&Directory, Errno> {
        match &self.body {
            Body::Dir(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        matches!(self.body, Body::Dir(_))
    }

    /// The tmpfs node behind an inode of this file system.
    pub(super) fn of<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self, Errno> {
        let node = inode.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.fs, &self.fs) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// The same as an `Arc`.
    pub(super) fn arc_of(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        self.of(inode)?;
        let any: Arc<dyn Any + Send + Sync> = inode.clone();
        any.downcast().map_err(|_| Errno::EXDEV)
    }

    fn new_file(&self, ino: u64, name: &[u8]) -> Body {
        let identity = Identity { dev: self.fs.dev(), ino };
        let name = format!("/{}", String::from_utf8_lossy(name));
        let (shared, charge) = (self.fs.shared(), self.fs.contents());
        Body::File(MemoryFile::new(shared, charge, identity, name, seal::F_SEAL_SEAL))
    }

    fn new_body(
        &self,
        parent: Option<&Arc<Self>>,
        node: NewNode<'_>,
        (ino, name): (u64, &[u8]),
    ) -> Result<Body, Errno> {
        Ok(match node {
            NewNode::File => self.new_file(ino, name),
            NewNode::Dir => Body::directory(parent),
            NewNode::Symlink(target) if target.len() > TARGET_BYTES_MAX => {
                return Err(Errno::ENAMETOOLONG);
            }
            NewNode::Symlink(target) => Body::Symlink(target.into()),
            NewNode::CharDevice(rdev) => Body::Device(DeviceKind::Char, rdev),
            NewNode::BlockDevice(rdev) => Body::Device(DeviceKind::Block, rdev),
            NewNode::Fifo => Body::Fifo(Fifo::new(self.fs.shared().charge())),
            NewNode::Socket => Body::Socket,
        })
    }

    /// Makes an inode as the caller would in this directory.
    fn make(
        &self,
        cx: &Ctx<'_>,
        parent: Option<&Arc<Self>>,
        node: NewNode<'_>,
        (name, mode): (&[u8], u32),
    ) -> Result<Arc<Self>, Errno> {
        let dir = *self.attributes.lock();
        let ino = self.fs.add_inode()?;
        let body =
            self.new_body(parent, node, (ino, name)).inspect_err(|_| self.fs.remove_inode())?;
        let attributes = Attributes::new(cx, body.kind(), mode, Some(&dir));
        Ok(Self::with_ino(&self.fs, ino, attributes, body))
    }

    /// One of its names is gone. Call it with no entries locked: the inode may go with it.
    pub(super) fn lost_name(&self) {
        let left = {
            let mut attributes = self.attributes.lock();
            attributes.remove_link();
            attributes.nlink
        };
        if left > 0 && !self.is_dir() {
            self.fs.remove_name();
        }
    }

    pub(super) fn metadata_now(&self) -> Metadata {
        let known = self.attributes.lock().metadata();
        let (size, blocks, rdev) = match &self.body {
            Body::File(file) => (file.size(), file.blocks(), 0),
            Body::Dir(directory) => (ENTRY_SIZE * directory.len(), 0, 0),
            Body::Symlink(target) => (target.len() as u64, 0, 0),
            Body::Device(_, rdev) => (0, 0, *rdev),
            Body::Fifo(_) | Body::Socket => (0, 0, 0),
        };
        let block_size = u32::try_from(PAGE_SIZE).unwrap_or(4096);
        Metadata { dev: self.fs.dev(), ino: self.ino, size, blocks, rdev, block_size, ..known }
    }
}

impl Inode for Node {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(self.metadata_now())
    }

    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        if let Some(size) = change.size {
            let Body::File(file) = &self.body else { return Err(Errno::EINVAL) };
            file.truncate(cx, size)?;
            self.attributes.lock().modified(cx);
        }
        self.attributes.lock().apply(change);
        Ok(())
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        match &self.body {
            Body::File(contents) => {
                let contents = contents.clone();
                Ok(Arc::new(OpenMemoryFile::new(self, contents, flags)))
            }
            Body::Dir(_) => Ok(Arc::new(DirFile::new(self))),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Device(kind, rdev) => {
                let (shared, number) = (self.fs.shared().clone(), (*kind, *rdev));
                shared.devices().open(cx, number, self, flags)
            }
            Body::Fifo(fifo) => Ok(fifo.open(cx, (self.clone(), self.ino), flags)?),
            Body::Socket => Err(Errno::ENXIO),
        }
    }

    fn lookup(&self, _cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let entries = self.directory()?.lock();
        Ok(entries.get(name).cloned().ok_or(Errno::ENOENT)?)
    }

    fn create(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let directory = self.directory()?;
        let parent = directory.me();
        let child = self.make(cx, parent.as_ref(), node, (name.as_bytes(), mode))?;
        let mut entries = directory.lock();
        entries.check_free(name)?;
        entries.insert(name, child.clone());
        let mut attributes = self.attributes.lock();
        attributes.entries_changed();
        if child.is_dir() {
            attributes.add_link()?;
        }
        Ok(child)
    }

    fn create_unnamed(&self, cx: &Ctx<'_>, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?;
        let node = self.make(cx, None, NewNode::File, (b"#unnamed", mode))?;
        node.attributes.lock().remove_link();
        node.linkable.store(true, Ordering::Relaxed);
        Ok(node)
    }

    fn link(&self, _cx: &Ctx<'_>, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let node = self.arc_of(target)?;
        if node.is_dir() {
            return Err(Errno::EPERM);
        }
        let mut entries = self.directory()?.lock();
        entries.check_free(name)?;
        {
            let mut attributes = node.attributes.lock();
            let unnamed = attributes.nlink == 0;
            if unnamed && !node.linkable.swap(false, Ordering::Relaxed) {
                return Err(Errno::ENOENT);
            }
            if !unnamed {
                self.fs.add_name()?;
            }
            attributes.add_link()?;
        }
        entries.insert(name, node);
        self.attributes.lock().entries_changed();
        Ok(())
    }

    fn unlink(&self, _cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        let mut entries = self.directory()?.lock();
        if entries.get(name).ok_or(Errno::ENOENT)?.is_dir() {
            return Err(Errno::EISDIR);
        }
        let gone = entries.remove(name);
        self.attributes.lock().entries_changed();
        drop(entries);
        if let Some(node) = gone {
            node.lost_name();
        }
        Ok(())
    }

    fn rmdir(&self, _cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.remove_directory(name)
    }

    fn rename(
        &self,
        _cx: &Ctx<'_>,
        from: &Name,
        to_dir: &Arc<dyn Inode>,
        to: &Name,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.rename_entry(from, self.of(to_dir)?, to, flags)
    }

    fn read_link(&self, _cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        let Body::Symlink(target) = &self.body else { return Err(Errno::EINVAL) };
        self.attributes.lock().accessed();
        Ok(target.to_vec())
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(self.fs.stat())
    }

    fn get_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.xattrs.get(cx, &self.metadata_now(), name)
    }

    fn set_xattr(
        &self,
        cx: &Ctx<'_>,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        self.xattrs.set(cx, &self.metadata_now(), (name, value), flags)?;
        self.attributes.lock().changed();
        Ok(())
    }

    fn list_xattr(&self, cx: &Ctx<'_>) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.xattrs.list(cx))
    }

    fn remove_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<(), Errno> {
        self.xattrs.remove(cx, &self.metadata_now(), name)?;
        self.attributes.lock().changed();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Timed for Node {
    const OPEN_NAME: &'static str = "OpenTmpfsFile";

    fn attributes(&self) -> &Mutex<Attributes> {
        &self.attributes
    }
}

impl Drop for Node {
    /// Takes the tree below apart in a loop: an application can nest directories so deep that
    /// dropping one inside the other would overflow the stack.
    fn drop(&mut self) {
        self.fs.remove_inode();
        let Body::Dir(directory) = &mut self.body else { return };
        let mut pending: Vec<Arc<Self>> = directory.take_all().collect();
        while let Some(child) = pending.pop() {
            child.lost_name();
            let Some(mut last) = Arc::into_inner(child) else { continue };
            if let Body::Dir(directory) = &mut last.body {
                pending.extend(directory.take_all());
            }
        }
    }
}
