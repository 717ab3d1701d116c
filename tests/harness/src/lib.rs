#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bundle;
mod container;
mod leaks;
mod macros;
mod paths;
mod rootfs;
mod run;
mod runtime;

pub use bundle::Bundle;
pub use container::Container;
pub use paths::{our_runsc, scratch, source_root, target_dir};
pub use rootfs::Rootfs;
pub use run::{Output, Run};
pub use runtime::{Kind, Runtime};
