//! Open files of an overlay.

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};

use abi::Errno;
use mm::Mappable;
use sched::WaitQueue;
use vfs::{Ctx, DirSink, Dst, File, Inode, Ioctl, SetAttr, Src};

use super::inode::Node;
use crate::base::OpenListing;

/// An open regular file: that of the side which showed when it was opened. Who opened the lower
/// one to read keeps it, though it may be copied up later (overlayfs.rst, non-standard behavior).
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct OverlayFile {
    node: Arc<Node>,
    real: Arc<dyn File>,
}

impl OverlayFile {
    pub(super) fn new(node: Arc<Node>, real: Arc<dyn File>) -> Self {
        Self { node, real }
    }
}

impl File for OverlayFile {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        self.real.read(cx, dst, offset)
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, offset: u64) -> Result<usize, Errno> {
        self.real.write(cx, src, offset)
    }

    fn append(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<(usize, u64), Errno> {
        self.real.append(cx, src)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, cx: &Ctx<'_>) -> Result<u64, Errno> {
        self.real.size(cx)
    }

    fn seek_data(&self, cx: &Ctx<'_>, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.real.seek_data(cx, offset, hole)
    }

    fn poll(&self) -> u32 {
        self.real.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.real.wait_queue()
    }

    fn ioctl(&self, cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        self.real.ioctl(cx, call)
    }

    fn mappable(&self, cx: &Ctx<'_>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        self.real.mappable(cx, writable)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        self.node.set_attr(cx, change)
    }

    fn allocate(&self, cx: &Ctx<'_>, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        self.real.allocate(cx, mode, offset, len)
    }

    fn sync(&self, cx: &Ctx<'_>, data_only: bool) -> Result<(), Errno> {
        self.real.sync(cx, data_only)
    }

    fn fcntl(&self, cx: &Ctx<'_>, command: u32, arg: u64) -> Result<u64, Errno> {
        self.real.fcntl(cx, command, arg)
    }

    fn flags_changed(&self, flags: u32) {
        self.real.flags_changed(flags);
    }

    fn release(&self, cx: &Ctx<'_>) {
        self.real.release(cx);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "overlay::DirFile")]
pub(crate) struct DirFile {
    node: Arc<Node>,
    listing: OpenListing,
}

impl DirFile {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, listing: OpenListing::default() }
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
        Ok(self.listing.at(1, || self.node.listing(cx))?.len())
    }

    fn read_dir(&self, cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let listing = self.listing.at(cursor, || self.node.listing(cx))?;
        let parent = self.node.parent_ino.load(Ordering::Relaxed);
        Ok(listing.show([self.node.ino, parent], cursor, sink))
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
