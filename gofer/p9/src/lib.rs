//! 9P2000.L and one extension of it: what the Sentry and its Gofer say to each other.
//!
//! Data only: no input or output, no clock, no allocation that a peer can make larger than the frame
//! it sent. Every function is total: whatever bytes come in, the answer is a message or a [`CodecError`].
//!
//! - [`TMessage`] is what a client asks, [`RMessage`] what a server answers; both have `encode` and
//!   `decode`. A line of `request.rs` or `reply.rs` per message is the whole definition.
//! - [`Dialect`] is what the two ends agree on by the version string. A peer that speaks plain
//!   9P2000.L never sees a message of the extension.
//! - [`check_name`] is the rule for a name that stands for one step of a path.
//!
//! Layout of a frame: `size[4] type[1] tag[2]` and the fields of the message in order, integers little
//! endian, strings as `length[2]` and bytes (intro(5) of Plan 9; the `.L` messages as in the Linux
//! kernel's `include/net/9p/9p.h`). Strings here are bytes, not UTF-8: Linux's file names are.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
#[cfg(test)]
mod codec_tests;
mod error;
mod flags;
mod frame;
mod message;
mod name;
mod reply;
mod request;
#[cfg(test)]
mod sample;
mod types;
mod version;
mod wire;

pub use bytes::{Data, Packed, Str};
pub use error::CodecError;
pub use flags::{AttrMask, OpenFlags, QidKind, SetAttrMask, lock_kind, lock_status};
pub use frame::{HEADER, Header, frame_size};
pub use name::{NAME_MAX, check_name};
pub use reply::*;
pub use request::*;
pub use types::{Attr, Dirent, DirentPlus, OpenHow, Opened, Qid, SetAttr, StatFs, Time, WalkStep};
pub use version::{DEFAULT_MSIZE, Dialect, MAX_MSIZE, MIN_MSIZE, UNKNOWN_VERSION};
pub use wire::{Reader, Wire};

/// The fid that names nothing: "no fid wanted" in a request.
pub const NOFID: u32 = u32::MAX;

/// The tag of `Tversion`, which belongs to no session yet.
pub const NOTAG: u16 = u16::MAX;

/// Most names in one `Twalk` (walk(5): MAXWELEM).
pub const MAX_WALK: usize = 16;

/// Most steps in one `Twalkx`.
pub const MAX_WALKX: usize = 64;

/// Bytes of an `Rread`, `Rreaddir` or `Twrite` frame that are not data, with room to spare
/// (`P9_IOHDRSZ` in Linux).
pub const IO_HEADER: u32 = 24;
