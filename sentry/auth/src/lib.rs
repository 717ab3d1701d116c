//! Who a task is: user and group ids, capabilities, secure bits (credentials(7),
//! capabilities(7)).
//!
//! Credentials are immutable once shared: a change makes new ones.
#![forbid(unsafe_code)]

mod caps;
mod creds;

pub use caps::{Capability, CapabilitySet};
pub use creds::{Credentials, SecureBits};
