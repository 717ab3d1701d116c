#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as state;

mod cannot;
mod chain;
mod error;
mod image;
pub mod live;
mod load;
mod order;
pub mod print;
mod reader;
#[cfg(doctest)]
mod refused;
mod registry;
mod runs;
mod save;
mod traits;
mod values;
mod writer;

pub use chain::drop_linked;
pub use error::{Cause, Error, Result};
pub use load::{load, load_unchecked};
pub use reader::Reader;
pub use registry::Registry;
pub use save::save;
pub use state_derive::{Load, Save};
pub use traits::{Early, Load, Object, Save, Schema};
pub use writer::Writer;

/// How deep a value may hold its own kind (through `Box`). Loading recurses there.
const NESTING: u32 = 64;

/// The error of a lock that is held while all should stand still.
#[doc(hidden)]
#[must_use]
#[cold]
pub fn lock_is_held() -> Error {
    Error::cannot_save("a lock is held")
}
