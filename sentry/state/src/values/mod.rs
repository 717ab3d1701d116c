//! How the values of the standard library and of `abi` are written.

mod abi;
mod atomics;
mod collections;
mod converted;
mod locks;
mod net;
mod numbers;
mod references;
mod wrappers;
