//! Open regular files that lie in memory.

use std::{any::Any, sync::Arc};

use abi::{Errno, fs::open::O_NOATIME};
use mm::Mappable;
use sched::Mutex;
use vfs::{Ctx, Dst, File, Inode, Src};

use super::{Attributes, MemoryFile};

/// An inode whose times move as its contents are used.
pub(crate) trait Timed: Inode {
    /// The name of its open files in checkpoints.
    const OPEN_NAME: &'static str;

    /// Its attributes.
    fn attributes(&self) -> &Mutex<Attributes>;

    /// What `/proc/PID/fd/N` shows if it has no path.
    fn link_text(&self) -> String {
        String::new()
    }
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct OpenMemoryFile<N> {
    node: Arc<N>,
    contents: Arc<MemoryFile>,
    flags: u32,
}

impl<N: Timed> OpenMemoryFile<N> {
    pub(crate) fn new(node: Arc<N>, contents: Arc<MemoryFile>, flags: u32) -> Self {
        Self { node, contents, flags }
    }

    fn write_to(
        &self,
        cx: &Ctx<'_>,
        src: &mut dyn Src,
        offset: Option<u64>,
    ) -> Result<(usize, u64), Errno> {
        let written = self.contents.write(cx, src, offset)?;
        if written.0 > 0 {
            self.node.attributes().lock().modified(cx);
        }
        Ok(written)
    }
}

impl<N: Timed> state::Save for OpenMemoryFile<N> {
    const PRINT: u64 = state::print::text("node, contents, flags");

    fn save(&self, w: &mut state::Writer<'_>) -> state::Result<()> {
        self.node.save(w)?;
        self.contents.save(w)?;
        self.flags.save(w)
    }
}

impl<N: Timed> state::Load for OpenMemoryFile<N> {
    fn load(r: &mut state::Reader<'_>) -> state::Result<Self> {
        Ok(Self { node: Arc::load(r)?, contents: Arc::load(r)?, flags: u32::load(r)? })
    }
}

impl<N: Timed> state::Schema for OpenMemoryFile<N> {
    const NAME: &'static str = N::OPEN_NAME;
}

impl<N: Timed> File for OpenMemoryFile<N> {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        let count = self.contents.read(dst, offset)?;
        if self.flags & O_NOATIME == 0 {
            self.node.attributes().lock().accessed();
        }
        Ok(count)
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

    fn size(&self, _cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(self.contents.size())
    }

    fn seek_data(&self, _cx: &Ctx<'_>, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.contents.seek_data(offset, hole)
    }

    fn mappable(&self, _cx: &Ctx<'_>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        self.contents.mappable(writable)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn allocate(&self, cx: &Ctx<'_>, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        self.contents.allocate(cx, mode, offset, len)?;
        self.node.attributes().lock().modified(cx);
        Ok(())
    }

    fn sync(&self, _cx: &Ctx<'_>, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn fcntl(&self, cx: &Ctx<'_>, command: u32, arg: u64) -> Result<u64, Errno> {
        self.contents.fcntl(cx, command, arg)
    }

    fn link_text(&self) -> String {
        self.node.link_text()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
