//! What the process gives up before it serves.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// What working on other people's files takes. No device can be made, so not `MKNOD`.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Gives up all other capabilities of this thread and of those that it starts later.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    let had = rustix::thread::capabilities(None)?;
    clear_ambient_capability_set().or_else(|errno| match errno {
        // Before Linux 4.3 there is no such set.
        Errno::INVAL => Ok(()),
        errno => Err(errno),
    })?;
    if had.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter().filter(|one| !KEPT.contains(*one)) {
            match remove_capability_from_bounding_set(capability) {
                // One that this kernel does not know yet.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    let kept = had.permitted & KEPT;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)
}

/// Lets the process have as many descriptors as it ever may: each fid is one.
pub(crate) fn raise_descriptor_limit() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%errno, "cannot raise the limit of descriptors");
    }
}
