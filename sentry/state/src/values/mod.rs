//! How the values of the standard library are written.

mod atomics;
mod collections;
mod locks;
mod numbers;
mod references;
mod wrappers;
