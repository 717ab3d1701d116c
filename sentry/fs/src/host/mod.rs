//! Descriptors of the host that a container was started with: its standard input and output.

mod file;

pub use file::HostStream;
