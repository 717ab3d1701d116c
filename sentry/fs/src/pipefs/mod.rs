//! Pipes (pipe(2)).

mod fs;
mod inode;
#[cfg(test)]
mod tests;

pub use fs::pipe;
