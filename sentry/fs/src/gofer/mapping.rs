//! Files of the host in address spaces.

use std::sync::Arc;

use abi::Errno;
use mm::{Identity, MapError, Mappable, MappingHandle, Span, Translation, translate_host_file};

use super::{handle::Handle, inode::Node};

/// `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE` (fallocate(2)).
const PUNCH_HOLE: u32 = 3;

/// What mmap(2) maps of a donated file.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "gofer::Mapped")]
pub(crate) struct Mapped {
    node: Arc<Node>,
    handle: Arc<Handle>,
}

impl Mapped {
    /// The one of this handle.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the file was not donated.
    pub(super) fn of(node: &Arc<Node>, handle: &Arc<Handle>) -> Result<Arc<Self>, Errno> {
        if handle.file().is_none() {
            return Err(Errno::ENODEV);
        }
        let mut mapped = handle.mapped.lock();
        if let Some(known) = mapped.upgrade() {
            return Ok(known);
        }
        let new = Arc::new(Self { node: Arc::clone(node), handle: Arc::clone(handle) });
        *mapped = Arc::downgrade(&new);
        Ok(new)
    }
}

impl Mappable for Mapped {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        let file = self.handle.file().ok_or(MapError::Io)?;
        if write {
            self.node.changed();
        }
        translate_host_file(file, offset, len)
    }

    fn add_mapping(&self, mapping: &MappingHandle) {
        self.node.mappings.lock().add(mapping);
    }

    fn remove_mapping(&self, mapping: &MappingHandle) {
        self.node.mappings.lock().remove(mapping);
    }

    fn identity(&self) -> Identity {
        Identity { dev: self.node.tree.dev, ino: self.node.ino() }
    }

    fn name(&self) -> String {
        String::new()
    }

    fn msync(&self, _range: Span) -> Result<(), Errno> {
        self.handle.file().map_or(Ok(()), |file| file.sync(true))
    }

    fn punch_hole(&self, range: Span) -> Result<(), Errno> {
        let file = self.handle.file().ok_or(Errno::EOPNOTSUPP)?;
        file.allocate(PUNCH_HOLE, range.start, range.len())
    }
}
