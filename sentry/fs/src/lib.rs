#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod anon;
mod base;
pub mod devfs;
pub mod devpts;
pub mod gofer;
pub mod host;
pub mod overlay;
pub mod pipefs;
pub mod procfs;
pub mod sysfs;
#[cfg(test)]
mod testing;
pub mod tmpfs;

pub use base::{Device, DeviceKind, Devices, MemoryFile, Root, Shared, pipe::PipeEnd};

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    let parts = [
        base::savable,
        anon::savable,
        devfs::savable,
        devpts::savable,
        gofer::savable,
        host::savable,
        overlay::savable,
        pipefs::savable,
        procfs::savable,
        tmpfs::savable,
    ];
    parts.into_iter().fold(r, |r, part| part(r))
}
