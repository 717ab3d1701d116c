//! `features`: what this runtime can do (OCI runtime specification, "Features Structure").

use anyhow::Result;
use serde_json::json;

use crate::spec::{CAPABILITY_NAMES, OCI_VERSION};

/// Runs it.
pub(crate) fn run() -> Result<()> {
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [],
        "mountOptions": ["bind", "rbind", "ro", "rw", "nosuid", "nodev", "noexec"],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": &CAPABILITY_NAMES[..],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false},
            "seccomp": {"enabled": false},
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
        },
    });
    println!("{features:#}");
    Ok(())
}
