//! One container as `runsc` keeps it under `--root`: a folder with `state.json`, a lock and the control socket.

mod folder;
pub(crate) mod hooks;
mod id;
mod lock;
mod process;
mod state;
mod status;
mod time;

pub(crate) use folder::{CONTROL_SOCKET, Folder, Root};
pub(crate) use id::check_id;
pub(crate) use lock::Lock;
pub(crate) use process::{HostProcess, wait_for_end};
pub(crate) use state::State;
pub(crate) use status::{Status, Verb};
pub(crate) use time::now;
