//! A tree that can be changed over one that is not (overlayfs.rst of Linux).
//!
//! The lower tree is never written. What is changed is first copied to the upper tree; what is
//! removed is hidden by a whiteout there (a character device 0:0); a directory of the upper tree
//! that hides the lower one of its name is marked opaque. The marks are those of Linux, but for
//! the one that remembers inode numbers.
//!
//! Lock order: `copying` of an inode -> `changes` of directories (of two, the one with the smaller
//! number first; an emptied directory after the one it is in) -> state of an inode -> registry of
//! the mount. The first two may be held while waiting, the others never.

mod changes;
mod copy_up;
mod directory;
mod file;
mod fs;
mod inode;
mod rename;
#[cfg(test)]
mod tests;

pub use fs::mount;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<fs::Overlay>()
        .object::<fs::Mounted>()
        .view::<fs::Mounted, dyn vfs::Filesystem>(|weak| weak)
        .object::<inode::Node>()
        .view::<inode::Node, dyn vfs::Inode>(|weak| weak)
        .object::<file::OverlayFile>()
        .view::<file::OverlayFile, dyn vfs::File>(|weak| weak)
        .object::<file::DirFile>()
        .view::<file::DirFile, dyn vfs::File>(|weak| weak)
}
