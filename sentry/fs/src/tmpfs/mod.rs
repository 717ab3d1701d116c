//! Files in memory (tmpfs(5)).
//!
//! Lock order: `renames` of the file system -> entries of a directory, an ancestor or the one
//! with the smaller number first -> entries of a child -> attributes. Only a rename and a removal
//! of a directory hold the entries of two directories; `renames` keeps them apart.

mod directory;
mod file;
mod fs;
mod inode;
mod rename;
#[cfg(test)]
mod tests;

pub use fs::{Options, Tmpfs};
