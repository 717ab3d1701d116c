//! Descriptors of the host that a container was started with: its standard input and output.

mod file;

pub use file::{HostStream, StandardStreams};

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<HostStream>().view::<HostStream, dyn vfs::File>(|weak| weak)
}
