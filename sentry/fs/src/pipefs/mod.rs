//! Pipes (pipe(2)).

mod fs;
mod inode;
#[cfg(test)]
mod tests;

pub use fs::pipe;
pub(crate) use inode::PipeInode;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<PipeInode>().view::<PipeInode, dyn vfs::Inode>(|weak| weak)
}
