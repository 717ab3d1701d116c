//! Giving up privileges, for good.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Keeps `keep` of the capabilities that this thread has, and takes away every way to get others.
pub(crate) fn drop_capabilities(keep: CapabilitySet) -> Result<()> {
    set_no_new_privs(true).context("set no_new_privs")?;
    let held = rustix::thread::capabilities(None)?;
    clear_ambient_capability_set().context("clear the ambient capabilities")?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        shrink_bounding_set(keep)?;
    }
    let keep = held.permitted & keep;
    let sets =
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("drop capabilities")
}

fn shrink_bounding_set(keep: CapabilitySet) -> Result<()> {
    for capability in CapabilitySet::all().difference(keep).iter() {
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)
                .context("shrink the capability bounding set")?,
            // A capability that this kernel does not know.
            Ok(false) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error).context("read the capability bounding set"),
        }
    }
    Ok(())
}
