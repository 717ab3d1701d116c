//! The client of a Gofer: files of the host, over 9P2000.L and our extension of it.
//!
//! - `connection.rs`: frames over a stream socket; many requests at a time, each waited for by
//!   its own fiber.
//! - `client.rs`, `plain.rs`: what can be asked for, in both dialects.
//! - `inode.rs`: one `inode::Node` per file of the host, whatever its names.
//! - `directory.rs`: which names of a directory are known; `changes.rs`: what changes them.
//! - `handle.rs`, `file.rs`, `mapping.rs`: open files; contents go straight to donated
//!   descriptors.
//!
//! Lock order: `changes` of a directory (a sleeping lock; of two, the one with the smaller number
//! first) -> names of a directory -> registry and `recent` of the mount -> state of an inode.
//! Only `changes` is held while waiting for the Gofer.

mod changes;
mod checkpoint;
mod client;
mod connection;
mod directory;
mod file;
mod fs;
mod handle;
mod inode;
mod mapping;
mod plain;
mod recent;
#[cfg(test)]
mod tests;

pub use checkpoint::{OnFiber, Sessions};
pub(crate) use fs::Tree;
pub use fs::{Caching, mount};
#[cfg(test)]
pub(crate) use tests::world_on;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Tree>()
        .object::<fs::Mounted>()
        .view::<fs::Mounted, dyn vfs::Filesystem>(|weak| weak)
        .object::<inode::Node>()
        .view::<inode::Node, dyn vfs::Inode>(|weak| weak)
        .object::<handle::Handle>()
        .object::<mapping::Mapped>()
        .view::<mapping::Mapped, dyn ::mm::Mappable>(|weak| weak)
        .object::<file::RegularFile>()
        .view::<file::RegularFile, dyn vfs::File>(|weak| weak)
        .object::<file::DirFile>()
        .view::<file::DirFile, dyn vfs::File>(|weak| weak)
}
