#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod caps;
mod creds;

pub use caps::{Capability, CapabilitySet};
pub use creds::{Credentials, SecureBits};

state::savable_as! {
    CapabilitySet as u64, CapabilitySet::bits, |bits| Some(CapabilitySet::from_bits(bits)),
        "no set of capabilities";
    SecureBits as u32, |bits| bits.0, |bits| Some(SecureBits(bits)), "no secure bits";
}

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    r.object::<Credentials>()
}
