//! Open directories of a tmpfs. Regular files are as everywhere in memory.

use std::{any::Any, sync::Arc};

use abi::Errno;
use vfs::{Ctx, DirSink, Dst, File, Inode};

use super::inode::Node;

/// An open directory.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "tmpfs::DirFile")]
pub(crate) struct DirFile {
    node: Arc<Node>,
}

impl DirFile {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl File for DirFile {
    fn read(&self, _cx: &Ctx<'_>, _dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, _cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(i64::MAX.cast_unsigned())
    }

    fn read_dir(&self, _cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let directory = self.node.directory()?;
        self.node.attributes.lock().accessed();
        directory.list(&self.node, cursor, sink)
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
