//! An OCI bundle that vanishes with its value.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::paths::scratch;
use crate::rootfs::Rootfs;

/// The capabilities that engines give by default: a test's host may not have more to give.
const CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What root has beyond them; only a kernel of one's own has it to give everywhere.
const MORE_CAPABILITIES: &[&str] = &[
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_ADMIN",
    "CAP_SYS_ADMIN",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
];

/// A `config.json` in a folder of its own; its root file system lies elsewhere.
#[derive(Debug)]
pub struct Bundle {
    folder: TempDir,
    config: Value,
}

impl Bundle {
    /// The smallest useful bundle: `args` as root over a read-only `rootfs`, `/tmp` to write to.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn new<A: AsRef<str>>(rootfs: &Rootfs, args: &[A]) -> Result<Self> {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let bundle = Self { folder: scratch()?, config: config(rootfs.path(), &args) };
        bundle.write()?;
        Ok(bundle)
    }

    /// Changes its configuration.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Result<Self> {
        change(&mut self.config);
        self.write()?;
        Ok(self)
    }

    /// Lets the container write to its root file system.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn writable(self) -> Result<Self> {
        self.edit(|config| config["root"]["readonly"] = json!(false))
    }

    /// Gives the container all that root has on a machine.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn all_capabilities(self) -> Result<Self> {
        let all = [CAPABILITIES, MORE_CAPABILITIES].concat();
        self.edit(|config| {
            config["process"]["capabilities"] =
                json!({ "bounding": all, "effective": all, "permitted": all });
        })
    }

    /// Adds a bind mount.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn bind(self, source: &Path, destination: &str, options: &[&str]) -> Result<Self> {
        let options: Vec<&str> = options.iter().copied().chain(["rbind"]).collect();
        let mount = json!({
            "destination": destination, "type": "bind", "source": source, "options": options,
        });
        self.edit(|config| {
            if let Some(mounts) = config["mounts"].as_array_mut() {
                mounts.push(mount);
            }
        })
    }

    /// Sets a variable of the environment.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn env(self, name: &str, value: &str) -> Result<Self> {
        let variable = json!(format!("{name}={value}"));
        self.edit(|config| {
            if let Some(variables) = config["process"]["env"].as_array_mut() {
                variables.push(variable);
            }
        })
    }

    /// Replaces the whole file by `text`, which need not be JSON.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn spoil(&self, text: &str) -> Result<()> {
        fs::write(self.path().join("config.json"), text).context("config.json")
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration as it stands.
    #[must_use]
    pub const fn config(&self) -> &Value {
        &self.config
    }

    /// A container id that no other bundle has.
    #[must_use]
    pub fn id(&self) -> String {
        let name = self.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn write(&self) -> Result<()> {
        self.spoil(&self.config.to_string())
    }
}

fn config(rootfs: &Path, args: &[&str]) -> Value {
    let caps = CAPABILITIES;
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
        },
        "root": { "path": rootfs, "readonly": true },
        "hostname": "inside",
        "mounts": mounts(),
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "network" },
            ],
        },
    })
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs",
          "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"] },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_reaches_the_file_and_ids_differ() {
        let rootfs = Rootfs::own_busybox().unwrap();
        let first = Bundle::new(&rootfs, &["/bin/true"]).unwrap();
        let second = Bundle::new(&rootfs, &["/bin/true"]).unwrap().env("A", "b").unwrap();
        assert_ne!(first.id(), second.id());
        let text = fs::read_to_string(second.path().join("config.json")).unwrap();
        assert!(text.contains("\"A=b\""), "{text}");
    }
}
