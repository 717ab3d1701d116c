//! The requests, one family per file. Each is a method of [`Session`](crate::session::Session).

mod attrs;
mod create;
mod io;
mod list;
mod names;
mod open;
mod start;
mod walk;
mod xattr;
