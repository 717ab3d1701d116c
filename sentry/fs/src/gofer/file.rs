//! Open files and directories.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use abi::{
    Errno,
    fs::open::{O_ACCMODE, O_DSYNC, O_RDONLY, O_SYNC, O_WRONLY},
};
use mm::Mappable;
use sched::Fiber;
use vfs::{Ctx, DirSink, Dst, File, Inode, Src};

use super::{handle::Handle, inode::Node, mapping::Mapped};
use crate::base::{Listing, OpenListing, read_chunks, write_chunks};

/// An open regular file.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct RegularFile {
    node: Arc<Node>,
    handle: Arc<Handle>,
    flags: AtomicU32,
    released: AtomicBool,
}

impl RegularFile {
    pub(super) fn open(node: Arc<Node>, fiber: &Fiber<'_>, flags: u32) -> Result<Self, Errno> {
        let access = flags & O_ACCMODE;
        let handle = node.acquire(fiber, access != O_WRONLY, access != O_RDONLY)?;
        let (flags, released) = (AtomicU32::new(flags), AtomicBool::new(false));
        Ok(Self { node, handle, flags, released })
    }

    fn put_back(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            self.node.release();
        }
    }

    /// Where reading may stop: only an exclusive tree can be relied on.
    fn size_hint(&self, fiber: &Fiber<'_>) -> Result<u64, Errno> {
        if self.node.tree.is_exclusive() {
            Ok(self.node.metadata_now(fiber)?.size)
        } else {
            Ok(u64::MAX)
        }
    }

    /// Writes at `offset`, or at the end if there is none; returns the count and where it ended.
    fn write_to(
        &self,
        cx: &Ctx<'_>,
        src: &mut dyn Src,
        offset: Option<u64>,
    ) -> Result<(usize, u64), Errno> {
        let _one_step = self.node.changes.lock(cx.fiber);
        let start = match (offset, self.handle.file()) {
            (Some(offset), _) => offset,
            (None, Some(file)) => file.size()?,
            (None, None) => self.node.metadata_now(cx.fiber)?.size,
        };
        let count = write_chunks(src, start, |at, from| {
            let count = self.handle.write_at(cx.fiber, at, from)?;
            self.node.changed();
            Ok(count)
        })?;
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & O_DSYNC != 0 {
            self.handle.sync(cx.fiber, flags & O_SYNC != O_SYNC)?;
        }
        Ok((count, start.saturating_add(count as u64)))
    }
}

impl File for RegularFile {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        let size = self.size_hint(cx.fiber)?;
        read_chunks(dst, offset, size, |at, to| self.handle.read_at(cx.fiber, at, to))
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, offset: u64) -> Result<usize, Errno> {
        self.write_to(cx, src, Some(offset)).map(|(count, _)| count)
    }

    fn append(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<(usize, u64), Errno> {
        self.write_to(cx, src, None)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, cx: &Ctx<'_>) -> Result<u64, Errno> {
        match self.handle.file() {
            Some(file) if !self.node.tree.is_exclusive() => file.size(),
            _ => Ok(self.node.metadata_now(cx.fiber)?.size),
        }
    }

    fn mappable(&self, _cx: &Ctx<'_>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        if writable && !self.handle.writes {
            return Err(Errno::EACCES);
        }
        Ok(Mapped::of(&self.node, &self.handle)?)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn allocate(&self, cx: &Ctx<'_>, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let file = self.handle.file().ok_or(Errno::EOPNOTSUPP)?;
        let _one_step = self.node.changes.lock(cx.fiber);
        file.allocate(mode, offset, len)?;
        self.node.changed();
        Ok(())
    }

    fn sync(&self, cx: &Ctx<'_>, data_only: bool) -> Result<(), Errno> {
        self.handle.sync(cx.fiber, data_only)
    }

    fn flags_changed(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    fn release(&self, _cx: &Ctx<'_>) {
        self.put_back();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for RegularFile {
    /// For one that never had a descriptor.
    fn drop(&mut self) {
        self.put_back();
    }
}

/// An open directory.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "gofer::DirFile")]
pub(crate) struct DirFile {
    node: Arc<Node>,
    listing: OpenListing,
}

impl DirFile {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, listing: OpenListing::default() }
    }

    fn at(&self, fiber: &Fiber<'_>, cursor: u64) -> Result<Arc<Listing>, Errno> {
        self.listing
            .at(cursor, || Listing::new(self.node.entries(fiber)?, self.node.tree.shared.charge()))
    }
}

impl File for DirFile {
    fn read(&self, _cx: &Ctx<'_>, _dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(self.at(cx.fiber, 1)?.len())
    }

    fn read_dir(&self, cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let parent = self.node.parent_ino.load(Ordering::Relaxed);
        Ok(self.at(cx.fiber, cursor)?.show([self.node.ino(), parent], cursor, sink))
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn sync(&self, _cx: &Ctx<'_>, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
