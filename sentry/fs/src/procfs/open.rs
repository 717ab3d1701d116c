//! Open files of procfs.

use std::{any::Any, sync::Arc};

use abi::{Errno, fs::dirent_type};
use sched::Mutex;
use vfs::{Ctx, DirEntry, DirSink, Dst, File, Inode, Src};

use super::{global, inode::ProcInode, node::Node, process, sys};

/// An open directory.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "procfs::Listing")]
pub(crate) struct Listing {
    inode: Arc<ProcInode>,
}

impl Listing {
    pub(super) fn new(inode: Arc<ProcInode>) -> Self {
        Self { inode }
    }
}

/// Cursors of numbered entries begin here, so that they survive processes that come and go.
const NUMBERED: u64 = 1 << 16;

impl File for Listing {
    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, _cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(0)
    }

    fn read_dir(&self, _cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let own = self.inode.node;
        let mut entries = vec![(0, ".".to_owned(), own), (1, "..".to_owned(), own)];
        for (index, (name, node)) in self.inode.entries()?.into_iter().enumerate() {
            let at = match name.parse::<u64>() {
                Ok(number) => NUMBERED + number,
                Err(_) => index as u64 + 2,
            };
            entries.push((at, name, node));
        }
        entries.sort_by_key(|entry| entry.0);
        let mut next = cursor;
        for (at, name, node) in entries.iter().filter(|entry| entry.0 >= cursor) {
            let kind = dirent_type(node.mode());
            let entry = DirEntry { ino: node.ino(), next: at + 1, kind, name: name.as_bytes() };
            if !sink.add(entry) {
                break;
            }
            next = at + 1;
        }
        Ok(next)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file. Its text is made at the first read, and again when it is read from the start.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct TextFile {
    inode: Arc<ProcInode>,
    #[state(skip)]
    text: Mutex<Option<Arc<Vec<u8>>>>,
}

impl TextFile {
    pub(super) fn new(inode: Arc<ProcInode>) -> Self {
        Self { inode, text: Mutex::new(None) }
    }

    fn make(&self, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        let fs = &self.inode.fs;
        match self.inode.node {
            Node::Global(kind) => Ok(global::text(&fs.kernel, kind)),
            Node::OfTask(pid, kind) => process::text(fs, cx, pid, kind),
            Node::SysFile(kind) => Ok(sys::text(&fs.kernel, kind).into_bytes()),
            Node::FdInfo(pid, fd) => {
                let files = fs.task(pid).and_then(|task| task.files()).ok_or(Errno::ESRCH)?;
                let file = files.get(fd).map_err(|_| Errno::ENOENT)?;
                let (at, flags) = (file.offset(), file.flags());
                let mount = file.path().map_or(0, |path| path.mount.id);
                let more = file.file().fdinfo();
                Ok(format!("pos:\t{at}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n{more}").into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

impl File for TextFile {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        let known = self.text.lock().clone();
        let text = match known {
            Some(text) if offset != 0 => text,
            _ => {
                let text = Arc::new(self.make(cx)?);
                *self.text.lock() = Some(text.clone());
                text
            }
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let rest = text.get(start..).unwrap_or_default();
        dst.put(rest.get(..rest.len().min(dst.remaining())).unwrap_or_default())
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, offset: u64) -> Result<usize, Errno> {
        /// Longest value that can be written.
        const VALUE_MAX: usize = 4096;
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        let mut value = vec![0; src.remaining().min(VALUE_MAX)];
        let count = src.take(&mut value)?;
        value.truncate(count);
        match self.inode.node {
            Node::OfTask(pid, kind) => process::set(&self.inode.fs, cx, pid, kind, &value)?,
            Node::SysFile(kind) => sys::set(&self.inode.fs.kernel, cx, kind, &value)?,
            _ => return Err(Errno::EACCES),
        }
        Ok(count)
    }

    fn seekable(&self) -> bool {
        true
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
