//! Building blocks that several file systems share.

mod anon_inode;
mod attributes;
mod copy;
mod devices;
#[cfg(test)]
pub(crate) mod generic;
mod listing;
pub(crate) mod memory_file;
mod memory_open;
pub(crate) mod pipe;
mod shared;
mod xattrs;

pub(crate) use anon_inode::AnonInode;
pub(crate) use attributes::{Attributes, Ownership};
pub(crate) use copy::{read_chunks, write_chunks};
pub use devices::{Device, DeviceKind, Devices};
pub(crate) use listing::{Listed, Listing, OpenListing};
pub use memory_file::MemoryFile;
pub(crate) use memory_open::{OpenMemoryFile, Timed};
pub use shared::{Root, Shared};
pub(crate) use xattrs::Xattrs;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Shared>()
        .object::<AnonInode>()
        .view::<AnonInode, dyn vfs::Inode>(|weak| weak)
        .object::<MemoryFile>()
        .view::<MemoryFile, dyn mm::Mappable>(|weak| weak)
        .object::<Listing>()
        .object::<pipe::Pipe>()
        .object::<pipe::PipeEnd>()
        .view::<pipe::PipeEnd, dyn vfs::File>(|weak| weak)
}
