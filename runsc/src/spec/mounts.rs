//! The mounts of a container, in order, and who serves each.

use std::fs;
use std::path::{Path, PathBuf};

use control::Report;
use oci_spec::runtime as oci;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::field;
use super::validate::io_error;

/// One mount to make inside, after the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Where, absolute inside the container.
    pub(crate) destination: String,
    /// What.
    pub(crate) file_system: FileSystem,
    /// No writing through this mount.
    pub(crate) readonly: bool,
    /// The options that the file system itself understands, and the flags nosuid, nodev, noexec.
    pub(crate) options: Vec<String>,
}

/// The file system behind a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileSystem {
    /// Files of the host, served by the Gofer.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
    },
    /// Memory.
    Tmpfs,
    /// Processes.
    Proc,
    /// Devices and kernel objects.
    Sysfs,
    /// The standard device nodes.
    Dev,
    /// Pseudo terminals.
    Devpts,
    /// POSIX message queues.
    Mqueue,
    /// Control groups of the container.
    Cgroup,
}

/// What the specification's `type` may be, for the complaint.
const TYPES: &str = "bind, tmpfs, proc, sysfs, devtmpfs, devpts, mqueue, cgroup or cgroup2";

/// The checked mounts of `spec`, whose bundle is at `bundle`.
pub(crate) fn plan(spec: &Spec, bundle: &Path) -> Result<Vec<Mount>, Report> {
    let mounts = spec.mounts().iter().flatten().enumerate();
    mounts.map(|(index, mount)| plan_one(mount, &format!("mounts[{index}]"), bundle)).collect()
}

fn plan_one(mount: &oci::Mount, at: &str, bundle: &Path) -> Result<Mount, Report> {
    let destination = mount.destination();
    if !destination.is_absolute() {
        let message = format!("expected an absolute path, found {:?}", destination.display());
        return Err(field(format!("{at}.destination"), message));
    }
    let destination = destination
        .to_str()
        .ok_or_else(|| field(format!("{at}.destination"), "expected UTF-8"))?
        .to_owned();
    let options = mount.options().as_deref().unwrap_or_default();
    let file_system = file_system(mount, options, &destination, at, bundle)?;
    Ok(Mount {
        readonly: is_readonly(options),
        options: keep(options, at)?,
        destination,
        file_system,
    })
}

fn file_system(
    mount: &oci::Mount,
    options: &[String],
    destination: &str,
    at: &str,
    bundle: &Path,
) -> Result<FileSystem, Report> {
    let bind = options.iter().any(|option| option == "bind" || option == "rbind");
    let kind = if bind { "bind" } else { mount.typ().as_deref().unwrap_or_default() };
    Ok(match kind {
        "bind" => unless_cgroup(source(mount, at, bundle)?),
        // Engines ask for a tmpfs there and leave the nodes to the runtime.
        "tmpfs" if destination == "/dev" => FileSystem::Dev,
        "tmpfs" => FileSystem::Tmpfs,
        "proc" => FileSystem::Proc,
        "sysfs" => FileSystem::Sysfs,
        "devtmpfs" => FileSystem::Dev,
        "devpts" => FileSystem::Devpts,
        "mqueue" => FileSystem::Mqueue,
        "cgroup" | "cgroup2" => FileSystem::Cgroup,
        _ => return Err(field(format!("{at}.type"), format!("expected {TYPES}, found {kind:?}"))),
    })
}

/// Engines bind the host's cgroups for containers with systemd. Files there can make the host's kernel run
/// programs (cgroups(7), `release_agent`), so not even the Gofer gets them: the container sees its own.
fn unless_cgroup(source: PathBuf) -> FileSystem {
    const CGROUP: u32 = 0x0027_e0eb;
    const CGROUP2: u32 = 0x6367_7270;
    // Magic numbers have 32 bits, whatever the field's type (statfs(2)).
    let magic = rustix::fs::statfs(&source).ok().and_then(|info| u32::try_from(info.f_type).ok());
    match magic {
        Some(CGROUP | CGROUP2) => FileSystem::Cgroup,
        _ => FileSystem::Bind { source },
    }
}

fn source(mount: &oci::Mount, at: &str, bundle: &Path) -> Result<PathBuf, Report> {
    let source = mount
        .source()
        .as_ref()
        .ok_or_else(|| field(format!("{at}.source"), "missing: expected a path of the host"))?;
    let path = bundle.join(source);
    fs::canonicalize(&path)
        .map_err(|error| io_error(format!("{at}.source: {}", path.display()), &error))
}

fn is_readonly(options: &[String]) -> bool {
    let last = options.iter().rev().find(|option| ["ro", "rw", "rro"].contains(&option.as_str()));
    last.is_some_and(|option| option != "rw")
}

/// Options that say something inside; the rest is about the host's mount tree (mount(8)).
fn keep(options: &[String], at: &str) -> Result<Vec<String>, Report> {
    let mut kept = Vec::new();
    for (index, option) in options.iter().enumerate() {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "nosuid" | "nodev" | "noexec" | "noatime" | "newinstance" | "hidepid" => {}
            "size" if is_size(value) => {}
            "mode" | "ptmxmode" if u32::from_str_radix(value, 8).is_ok() => {}
            "uid" | "gid" | "nr_inodes" if value.parse::<u32>().is_ok() => {}
            "size" | "mode" | "ptmxmode" | "uid" | "gid" | "nr_inodes" => {
                let message = format!("expected a number after {name}=, found {value:?}");
                return Err(field(format!("{at}.options[{index}]"), message));
            }
            _ => continue,
        }
        kept.push(option.clone());
    }
    Ok(kept)
}

/// `size=` of tmpfs(5): a number with k, m, g or %.
fn is_size(value: &str) -> bool {
    let digits = value.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G', '%']).unwrap_or(value);
    digits.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(mount: serde_json::Value) -> Mount {
        let mount: oci::Mount = serde_json::from_value(mount).unwrap();
        plan_one(&mount, "mounts[0]", Path::new("/")).unwrap()
    }

    #[test]
    fn the_last_of_ro_and_rw_counts() {
        let mount = planned(serde_json::json!({"destination": "/x", "type": "tmpfs",
            "options": ["ro", "rw", "rprivate"]}));
        assert!(!mount.readonly);
        assert!(mount.options.is_empty());
    }

    #[test]
    fn a_tmpfs_on_dev_is_the_device_file_system() {
        let mount = planned(serde_json::json!({"destination": "/dev", "type": "tmpfs",
            "options": ["nosuid", "mode=755", "size=65536k"]}));
        assert_eq!(mount.file_system, FileSystem::Dev);
        assert_eq!(mount.options, ["nosuid", "mode=755", "size=65536k"]);
    }

    #[test]
    fn the_hosts_cgroups_are_never_bound() {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let cgroup = |line: &&str| line.contains(" - cgroup");
        for line in mountinfo.lines().filter(cgroup) {
            let source = line.split(' ').nth(4).unwrap();
            let planned = planned(serde_json::json!({"destination": "/x", "source": source,
                "options": ["bind"]}));
            assert_eq!(planned.file_system, FileSystem::Cgroup, "{source}");
        }
    }

    #[test]
    fn a_bind_by_option_needs_no_type() {
        let mount = planned(serde_json::json!({"destination": "/x", "source": "tmp",
            "options": ["rbind", "ro"]}));
        assert_eq!(mount.file_system, FileSystem::Bind { source: "/tmp".into() });
        assert!(mount.readonly);
    }
}
