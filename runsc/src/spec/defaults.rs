//! config.json files that `runsc` writes itself: `spec`'s example and `do`'s.

use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// Version of the runtime specification that is followed.
pub(crate) const OCI_VERSION: &str = "1.2.1";

/// What engines give an ordinary container.
const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// The example of `runsc spec`, running `args`.
pub(crate) fn bundle_spec(args: &[String]) -> Value {
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": capabilities(&CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runsc",
        "mounts": mounts(),
        "linux": {"namespaces": namespaces()},
    })
}

fn capabilities(set: &[&str]) -> Value {
    json!({"bounding": set, "effective": set, "permitted": set})
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"]},
    ])
}

fn namespaces() -> Value {
    let types = ["pid", "network", "ipc", "uts", "mount"];
    Value::Array(types.iter().map(|kind| json!({"type": kind})).collect())
}

/// The process of `runsc do`.
#[derive(Debug)]
pub(crate) struct HostCommand {
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// Environment, `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Working directory.
    pub(crate) cwd: String,
    /// Root of the files.
    pub(crate) root: String,
    /// Run it on a terminal.
    pub(crate) terminal: bool,
}

/// A container over the host's own files.
pub(crate) fn host_command_spec(command: &HostCommand) -> Result<Spec> {
    let mut spec = bundle_spec(&command.args);
    spec["process"]["terminal"] = json!(command.terminal);
    spec["process"]["env"] = json!(command.env);
    spec["process"]["cwd"] = json!(command.cwd);
    spec["process"]["capabilities"] = capabilities(&super::capability::NAMES);
    spec["root"] = json!({"path": command.root, "readonly": false});
    let spec = super::load::parse(&spec.to_string())?;
    super::validate::check(&spec, Path::new("/")).context("runsc do")?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_valid_configuration() {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::create_dir(bundle.path().join("rootfs")).unwrap();
        let text = bundle_spec(&["sh".into()]).to_string();
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        crate::spec::load(bundle.path()).unwrap();
    }
}
