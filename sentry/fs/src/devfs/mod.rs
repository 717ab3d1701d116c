//! `/dev`: the memory devices (mem(4), random(4), full(4)) and a tree with the usual names.
//!
//! The tree itself is a tmpfs; this only fills it. Which driver a device file reaches is decided
//! by its number, wherever it lies ([`crate::Devices`]). Drivers of terminals register themselves
//! (`/dev/tty` 5:0, `/dev/console` 5:1, `/dev/ptmx` 5:2).

mod file;
mod fs;
#[cfg(test)]
mod tests;

pub use fs::{populate, register};

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<file::MemoryDevice>().view::<file::MemoryDevice, dyn vfs::File>(|weak| weak)
}
