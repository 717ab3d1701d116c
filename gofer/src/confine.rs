//! What the process gives up before it serves.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError,
};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use crate::node::Node;

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

/// Closes off every file outside the given roots, and changes of those that are read-only, for this
/// thread and those that it starts later. The kernel then enforces what the walk promises.
///
/// Nothing happens on a host without Landlock, or with its first version (Linux 5.13 to 5.18), which
/// would refuse every move from one directory to another.
pub(crate) fn stay_in<'a>(
    roots: impl Iterator<Item = (&'a Node, bool)>,
) -> Result<(), RulesetError> {
    let moves = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let Ok(ruleset) = moves.handle_access(AccessFs::Refer) else {
        tracing::info!("no usable Landlock on this host");
        return Ok(());
    };
    let ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?;
    let mut ruleset = ruleset.create()?;
    for (root, readonly) in roots {
        ruleset = ruleset.add_rule(PathBeneath::new(root, access(root, readonly)))?;
    }
    ruleset.restrict_self().map(drop)
}

/// The newest set of rights that this code was written for.
const KNOWN: ABI = ABI::V5;

/// What may be done in a tree: nothing is run from it, and no disk device made.
fn access(root: &Node, readonly: bool) -> BitFlags<AccessFs> {
    let all = if readonly { AccessFs::from_read(KNOWN) } else { AccessFs::from_all(KNOWN) };
    let all = all & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::IoctlDev);
    if root.kind() == FileType::Directory { all } else { all & AccessFs::from_file(KNOWN) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::*;

    #[test]
    fn what_is_outside_the_roots_is_closed_off() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rw", "ro", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("f"), "").unwrap();
        }
        let node = |name: &str| {
            let fd = openat(CWD, dir.path().join(name), OFlags::PATH, Mode::empty()).unwrap();
            Node::new(fd).unwrap().0
        };
        let roots = [(node("rw"), false), (node("ro"), true), (node("outside/f"), true)];
        // It holds for one thread, so the other tests are spared.
        let at = |name: &str| dir.path().join(name);
        let closed = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                stay_in(roots.iter().map(|(node, readonly)| (node, *readonly))).unwrap();
                fs::write(at("rw/new"), "x").unwrap();
                fs::read(at("ro/f")).unwrap();
                fs::read(at("outside/f")).unwrap();
                ["ro/new", "outside/new", "ro/f", "outside/f"]
                    .map(|name| fs::write(at(name), "").map_err(|error| error.kind()))
            });
            thread.join().unwrap()
        });
        let denied = [Err(ErrorKind::PermissionDenied); 4];
        // A host without Landlock closes nothing off, and says so.
        let there = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)
            .is_ok();
        assert_eq!(closed == denied, there, "{closed:?}");
    }
}
