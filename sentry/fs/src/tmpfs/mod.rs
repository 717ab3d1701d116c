//! Files in memory (tmpfs(5)).
//!
//! Lock order: `renames` of the file system -> entries of a directory, an ancestor or the one
//! with the smaller number first -> entries of a child -> attributes. Only a rename and a removal
//! of a directory hold the entries of two directories; `renames` keeps them apart.

mod directory;
mod file;
mod fs;
mod inode;
mod rename;
#[cfg(test)]
mod tests;

pub use fs::{Options, Tmpfs};

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Tmpfs>()
        .view::<Tmpfs, dyn vfs::Filesystem>(|weak| weak)
        .object::<inode::Node>()
        .view::<inode::Node, dyn vfs::Inode>(|weak| weak)
        .object::<file::DirFile>()
        .view::<file::DirFile, dyn vfs::File>(|weak| weak)
        .object::<crate::base::OpenMemoryFile<inode::Node>>()
        .view::<crate::base::OpenMemoryFile<inode::Node>, dyn vfs::File>(|weak| weak)
}
