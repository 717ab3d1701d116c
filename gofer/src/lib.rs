//! The file server of a container.
//!
//! The Sentry has no right to open a file of the host. It asks the Gofer, a process of its own with
//! nothing in hand but one directory per mount, over a stream socket per mount, in 9P2000.L and our
//! extension of it (crate `p9`). Each message is treated as an attack.
//!
//! - One socket per attach: what one mount waits for holds up no other, a connection ends alone, and a
//!   fid of one mount can't be named on another.
//! - A fid is an `O_PATH` descriptor. Every step goes down from such a descriptor by one checked name
//!   and never through a symbolic link (`walk.rs`), so no race of names leads out of the tree.
//! - A file is opened through `/proc/self/fd`, so it is the very inode that the fid names, and only if
//!   it is a regular file or a directory: never a device, a pipe or a socket of the host (`open.rs`).
//! - An opened regular file may be donated: its descriptor travels with the answer (`stream.rs`).
//! - Requests of a connection are served in their order by one thread, so a `Tflush` always comes too
//!   late and there are no locks.
//! - Before the first request the process gives up what it does not need (`confine.rs`, `filters.rs`).

#![forbid(unsafe_code)]

mod attr;
mod config;
mod confine;
mod fid;
pub mod filters;
mod node;
mod open;
mod requests;
mod serve;
mod session;
mod stream;
mod walk;

pub use config::{Attach, Config, GoferError, Limits};
pub use serve::serve;
