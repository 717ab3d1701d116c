//! What mmap(2) maps of an open file: its pages, under the name it was opened by.

use std::sync::Arc;

use abi::Errno;
use mm::{Identity, MapError, Mappable, MappingHandle, Span, Translation};

use crate::{Ctx, OpenFile};

/// Pages of a file, and the path that `/proc/PID/maps` shows for them. A file system does not
/// know the path: it does not see where it is mounted.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "vfs::Named")]
pub(crate) struct Named {
    pages: Arc<dyn Mappable>,
    path: String,
}

impl OpenFile {
    /// What mmap(2) maps; `writable` if stores to a shared mapping must be possible.
    ///
    /// # Errors
    ///
    /// As [`crate::File::mappable`].
    pub fn mappable(&self, cx: &Ctx<'_>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        let pages = self.file().mappable(cx, writable)?;
        let path = self.path().and_then(|place| cx.path_of(place));
        Ok(match path {
            Some(path) => {
                Arc::new(Named { pages, path: String::from_utf8_lossy(&path).into_owned() })
            }
            None => pages,
        })
    }
}

impl Mappable for Named {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        self.pages.translate(offset, len, write)
    }

    fn load(&self, offset: u64, len: u64) -> Result<(), MapError> {
        self.pages.load(offset, len)
    }

    fn add_mapping(&self, mapping: &MappingHandle) {
        self.pages.add_mapping(mapping);
    }

    fn remove_mapping(&self, mapping: &MappingHandle) {
        self.pages.remove_mapping(mapping);
    }

    fn identity(&self) -> Identity {
        self.pages.identity()
    }

    fn name(&self) -> String {
        self.path.clone()
    }

    fn msync(&self, range: Span) -> Result<(), Errno> {
        self.pages.msync(range)
    }

    fn punch_hole(&self, range: Span) -> Result<(), Errno> {
        self.pages.punch_hole(range)
    }

    fn is_shmem(&self) -> bool {
        self.pages.is_shmem()
    }
}
