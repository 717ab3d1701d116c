//! Checks that crates depend only downwards.

use cargo_metadata::{DependencyKind, Metadata};

/// The rooms, from the ground up. A crate may depend on crates of lower floors only.
const FLOORS: &[&[&str]] = &[
    &["abi", "ring0", "p9", "state-derive", "control"],
    &["host", "state"],
    &["auth", "sched"],
    &["platform"],
    &["vmm", "ptrace-fallback", "mm", "gofer"],
    &["vfs"],
    &["kernel"],
    &["fs", "net"],
    &["syscalls"],
    &["sentry"],
    &["runsc"],
];

/// Crates beside the building: they may see every public item, and nobody depends on them
/// (they may on one another).
const BESIDE: &[&str] =
    &["xtask", "harness", "syscall-tests", "oci-tests", "fuzz-tests", "attack-tests", "bench"];

/// Edges that are narrower than their floor: only these crates may name the crate on the left.
const ONLY: &[(&str, &[&str])] = &[
    // ring0 runs where no invariant of the runtime holds yet.
    ("ring0", &["vmm"]),
    // One codec for the two processes that speak it (and for who assembles them).
    ("p9", &["gofer", "fs", "sentry", "runsc"]),
    // Only the runtime names platforms.
    ("vmm", &["runsc"]),
    ("ptrace-fallback", &["runsc"]),
];

/// Crates that must stay small enough to audit: all that they may see of ours.
const SEES_ONLY: &[(&str, &[&str])] = &[("ring0", &[]), ("gofer", &["p9"])];

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn listed(table: &[(&str, &[&str])], key: &str, value: &str) -> bool {
    table.iter().filter(|(name, _)| *name == key).all(|(_, allowed)| allowed.contains(&value))
}

fn is_allowed(from: &str, to: &str) -> bool {
    if BESIDE.contains(&from) {
        return floor_of(to).is_some() || BESIDE.contains(&to);
    }
    match (floor_of(from), floor_of(to)) {
        (Some(above), Some(below)) => {
            above > below && listed(ONLY, to, from) && listed(SEES_ONLY, from, to)
        }
        _ => false,
    }
}

/// Returns the edges (from, to) that the table does not allow.
///
/// A crate on no floor is forbidden as well: whoever adds a crate gives it a floor.
fn forbidden<'a>(edges: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    edges.iter().copied().filter(|&(from, to)| !is_allowed(from, to)).collect()
}

/// Complains about edges of the workspace that do not point down.
///
/// Dev-dependencies are exempt: a test may look down from above.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut edges = Vec::new();
    for package in &packages {
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development && is_ours(&dependency.name) {
                edges.push((package.name.as_str(), dependency.name.as_str()));
            }
        }
    }
    let strangers = packages
        .iter()
        .map(|package| package.name.as_str())
        .filter(|name| floor_of(name).is_none() && !BESIDE.contains(name))
        .map(|name| format!("{name}: on no floor of tools/xtask/src/layers.rs"));
    let crossing = forbidden(&edges);
    strangers
        .chain(crossing.iter().map(|(from, to)| format!("{from} may not depend on {to}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn downwards_is_allowed() {
        assert!(forbidden(&[("vmm", "platform"), ("platform", "abi")]).is_empty());
    }

    #[test]
    fn kernel_must_not_know_its_platform() {
        assert_eq!(forbidden(&[("platform", "vmm")]), [("platform", "vmm")]);
    }

    #[test]
    fn same_floor_is_forbidden() {
        assert_eq!(forbidden(&[("vmm", "ptrace-fallback")]).len(), 1);
    }

    #[test]
    fn unknown_crate_is_forbidden() {
        assert_eq!(forbidden(&[("surprise", "abi")]).len(), 1);
    }

    #[test]
    fn gofer_sees_the_codec_and_nothing_else() {
        assert!(forbidden(&[("gofer", "p9")]).is_empty());
        assert_eq!(forbidden(&[("gofer", "host")]).len(), 1);
    }

    #[test]
    fn only_the_runtime_names_platforms() {
        assert!(forbidden(&[("runsc", "vmm")]).is_empty());
        assert_eq!(forbidden(&[("sentry", "vmm"), ("sentry", "ptrace-fallback")]).len(), 2);
    }

    #[test]
    fn nobody_depends_on_tests() {
        assert!(forbidden(&[("syscall-tests", "harness")]).is_empty());
        assert_eq!(forbidden(&[("runsc", "harness")]).len(), 1);
    }
}
