//! Making the processes of a container: the Sentry and its Gofer, each in its own namespaces.

mod capabilities;
pub(crate) mod cgroup;
mod descriptors;
mod gofer;
mod launch;
mod mountpoints;
mod namespaces;
mod root;
pub(crate) mod spawn;
mod startup;

pub(crate) use capabilities::drop_capabilities;
pub(crate) use descriptors::{Descriptors, read_configuration, take, write_configuration};
pub(crate) use gofer::{GoferConfig, GoferMount, serve};
pub(crate) use launch::{Order, Stdio, launch};
pub(crate) use namespaces::{enter_network_of, enter_user_namespace, is_privileged};
pub(crate) use root::empty_root;
pub(crate) use startup::{Starter, report, wait_until_ready};
