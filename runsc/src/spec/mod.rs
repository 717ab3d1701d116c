//! The bundle's config.json: read, checked, and turned into what Sentry and Gofer need.

mod capability;
mod defaults;
mod load;
mod mounts;
mod process;
mod rlimit;
mod validate;

pub(crate) use capability::NAMES as CAPABILITY_NAMES;
pub(crate) use defaults::{HostCommand, OCI_VERSION, bundle_spec, host_command_spec};
pub(crate) use load::{Bundle, load, parse_process, parse_resources};
pub(crate) use mounts::{FileSystem, Mount, plan};
pub(crate) use process::convert;

use control::Report;

/// A complaint about one field of config.json.
pub(crate) fn field(name: impl Into<String>, message: impl Into<String>) -> Report {
    Report::new("config.json", message).about(name)
}
