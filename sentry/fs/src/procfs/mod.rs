//! What the kernel tells of itself and of its processes (proc(5)).
//!
//! A node is a small value (`node::Node`); its contents are made when the file is opened. Names
//! are never remembered: processes come and go behind our back.
//!
//! Lock order: none of its own; the kernel's locks are taken and released while making a text.

mod fs;
mod global;
mod inode;
mod links;
mod node;
mod open;
mod process;
mod status;
mod sys;

pub use fs::Procfs;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Procfs>()
        .view::<Procfs, dyn vfs::Filesystem>(|weak| weak)
        .object::<fs::Nameless>()
        .view::<fs::Nameless, dyn vfs::Filesystem>(|weak| weak)
        .object::<inode::ProcInode>()
        .view::<inode::ProcInode, dyn vfs::Inode>(|weak| weak)
        .object::<open::Listing>()
        .view::<open::Listing, dyn vfs::File>(|weak| weak)
        .object::<open::TextFile>()
        .view::<open::TextFile, dyn vfs::File>(|weak| weak)
}
