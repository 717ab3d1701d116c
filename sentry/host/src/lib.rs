#![doc = include_str!("../README.md")]
#![expect(unsafe_code, reason = "room 3 of the unsafe list: host calls and shared memory")]

mod bell;
pub mod clock;
pub mod cpu;
mod cpu_description;
mod fd;
mod file;
pub mod filters;
mod futex;
mod memory;
mod parker;
mod random;
mod reactor;
mod stack;
mod stream;
pub mod thread;
pub mod tsc;
pub mod vdso;

pub use bell::Bell;
pub use cpu_description::{CpuDescription, describe_cpu};
pub use fd::{HostFd, Sharing, TERMIOS_BYTES, TermiosWhen};
pub use file::{HostFile, HostStatus};
pub use memory::MemoryObject;
pub use parker::Parker;
pub use random::random;
pub use reactor::{Reactor, Readiness, Ready, WatchId};
pub use stack::{STACK_BYTES, Stack, StackPool};
pub use stream::{MAX_FDS, Stream};
