//! The host's cgroups of a container (cgroups(7)): join them, limit them, remove them.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use oci_spec::runtime::{LinuxResources, Spec};

/// How long a cgroup may say that it is busy after its last process has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// One mounted cgroup tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
    mount_point: PathBuf,
    /// The controllers of a version 1 tree; `None` for version 2.
    controllers: Option<Vec<String>>,
}

/// The cgroups of a container.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    trees: Vec<Tree>,
    /// Below each tree; nothing when config.json asks for none.
    path: PathBuf,
    /// The folders that are not there yet.
    new: Vec<PathBuf>,
    /// The folders that the container is in.
    joined: Vec<PathBuf>,
}

impl Cgroups {
    /// What `spec` asks for; nothing is made yet.
    pub(crate) fn plan(spec: &Spec, systemd: bool) -> Result<Self> {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let Some(path) = path else { return Ok(Self::default()) };
        let path = relative(path, systemd);
        let trees = trees(&fs::read_to_string("/proc/self/mountinfo")?);
        let folders = trees.iter().map(|tree| tree.mount_point.join(&path));
        let new = folders.filter(|folder| !folder.exists()).collect();
        Ok(Self { trees, path, new, joined: Vec::new() })
    }

    /// The folders to remove with the container.
    pub(crate) fn new_folders(&self) -> &[PathBuf] {
        &self.new
    }

    /// Makes the folders and sets the limits of `spec`. Without permission that is an error, unless `ignore`.
    pub(crate) fn make(&mut self, spec: &Spec, ignore: bool) -> Result<()> {
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        for tree in &self.trees {
            match make_in(tree, &self.path, resources) {
                Ok(folder) => self.joined.push(folder),
                Err(error) if !ignore && !is_missing(&error) => return Err(error),
                Err(error) => tracing::warn!("cgroup skipped: {error:#}"),
            }
        }
        Ok(())
    }

    /// Moves a process in.
    pub(crate) fn join(&self, pid: i32) -> Result<()> {
        for folder in &self.joined {
            let file = folder.join("cgroup.procs");
            fs::write(&file, pid.to_string())
                .with_context(|| format!("join {}", file.display()))?;
        }
        Ok(())
    }
}

fn make_in(tree: &Tree, path: &Path, limits: Option<&LinuxResources>) -> Result<PathBuf> {
    let folder = tree.mount_point.join(path);
    if !folder.exists() {
        fs::create_dir_all(&folder)
            .with_context(|| format!("make the cgroup {}", folder.display()))?;
        inherit_cpuset(tree, path)?;
    }
    limits.map_or(Ok(()), |limits| limit(tree, &folder, limits))?;
    Ok(folder)
}

fn limit(tree: &Tree, folder: &Path, limits: &LinuxResources) -> Result<()> {
    for (file, value) in settings(tree, limits) {
        let file = folder.join(file);
        fs::write(&file, &value)
            .with_context(|| format!("write {value:?} to {}", file.display()))?;
    }
    Ok(())
}

/// Gives new limits to the `folders` of a container.
pub(crate) fn update(folders: &[PathBuf], limits: &LinuxResources) -> Result<()> {
    for tree in trees(&fs::read_to_string("/proc/self/mountinfo")?) {
        for folder in folders.iter().filter(|folder| folder.starts_with(&tree.mount_point)) {
            limit(&tree, folder, limits)?;
        }
    }
    Ok(())
}

/// A new cpuset of version 1 takes no process before it has processors and memory nodes (cpuset(7)).
fn inherit_cpuset(tree: &Tree, path: &Path) -> Result<()> {
    let named = |controllers: &Vec<String>| controllers.iter().any(|name| name == "cpuset");
    if !tree.controllers.as_ref().is_some_and(named) {
        return Ok(());
    }
    let mut folder = tree.mount_point.clone();
    for name in path {
        let parent = folder.clone();
        folder.push(name);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if fs::read_to_string(folder.join(file))?.trim().is_empty() {
                fs::write(folder.join(file), fs::read_to_string(parent.join(file))?)?;
            }
        }
    }
    Ok(())
}

fn is_missing(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The path below each tree. With systemd it is `slice:prefix:name`, which without systemd's help becomes a
/// folder of the same sense.
fn relative(path: &Path, systemd: bool) -> PathBuf {
    let text = path.to_string_lossy();
    let parts: Vec<&str> = text.split(':').collect();
    match (systemd, parts.as_slice()) {
        (true, [slice, prefix, name]) => {
            PathBuf::from(slice).join(format!("{prefix}-{name}.scope"))
        }
        _ => path.components().filter(is_name).collect(),
    }
}

fn is_name(component: &std::path::Component<'_>) -> bool {
    matches!(component, std::path::Component::Normal(_))
}

/// The cgroup trees in a mountinfo text (`proc_pid_mountinfo(5)`).
fn trees(mountinfo: &str) -> Vec<Tree> {
    mountinfo.lines().filter_map(tree).collect()
}

fn tree(line: &str) -> Option<Tree> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mount_point = PathBuf::from(mount.split(' ').nth(4)?);
    let mut fields = file_system.split(' ');
    match fields.next()? {
        "cgroup2" => Some(Tree { mount_point, controllers: None }),
        "cgroup" => {
            let options = fields.nth(1)?.split(',').map(str::to_owned).collect();
            Some(Tree { mount_point, controllers: Some(options) })
        }
        _ => None,
    }
}

/// Files to write for the limits that a tree controls.
fn settings(tree: &Tree, limits: &LinuxResources) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    let version_1 = tree.controllers.is_some();
    let controls = |name: &str| {
        let named = |controllers: &Vec<String>| controllers.iter().any(|known| known == name);
        tree.controllers.as_ref().map_or_else(|| has_controller(&tree.mount_point, name), named)
    };
    let memory = limits.memory().as_ref().and_then(|memory| memory.limit());
    // Engines spell "as it is" as 0 too.
    if let Some(bytes) = memory.filter(|bytes| *bytes != 0 && controls("memory")) {
        let file = if version_1 { "memory.limit_in_bytes" } else { "memory.max" };
        settings.push((file, number(bytes, version_1)));
    }
    let pids = limits.pids().as_ref().and_then(oci_pids_limit);
    if let Some(count) = pids.filter(|_| controls("pids")) {
        settings.push(("pids.max", number(count, false)));
    }
    if controls("cpu")
        && let Some(cpu) = limits.cpu()
    {
        cpu_settings(cpu, version_1, &mut settings);
    }
    settings
}

fn oci_pids_limit(pids: &oci_spec::runtime::LinuxPids) -> Option<i64> {
    Some(pids.limit()).filter(|limit| *limit != 0)
}

fn cpu_settings(
    cpu: &oci_spec::runtime::LinuxCpu,
    version_1: bool,
    settings: &mut Vec<(&'static str, String)>,
) {
    const PERIOD: u64 = 100_000;
    let period = cpu.period().filter(|period| *period != 0).unwrap_or(PERIOD);
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        settings.push(match version_1 {
            true => ("cpu.shares", shares.to_string()),
            // The kernel's own scale: 2..262144 to 1..10000.
            false => ("cpu.weight", (1 + shares.saturating_sub(2) * 9_999 / 262_142).to_string()),
        });
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        match version_1 {
            true => {
                settings.push(("cpu.cfs_period_us", period.to_string()));
                settings.push(("cpu.cfs_quota_us", quota.to_string()));
            }
            false => settings.push(("cpu.max", format!("{} {period}", number(quota, false)))),
        }
    }
}

/// -1 is "no limit", which the newer files spell "max".
fn number(value: i64, version_1: bool) -> String {
    if value < 0 && !version_1 { "max".into() } else { value.to_string() }
}

fn has_controller(mount_point: &Path, name: &str) -> bool {
    fs::read_to_string(mount_point.join("cgroup.controllers"))
        .is_ok_and(|text| text.split_whitespace().any(|known| known == name))
}

/// Removes the folders of a container whose processes have ended.
pub(crate) fn remove(folders: &[PathBuf]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for folder in folders.iter().rev() {
        while let Err(error) = fs::remove_dir(folder) {
            match error.kind() {
                ErrorKind::NotFound => break,
                ErrorKind::ResourceBusy if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => bail!("remove the cgroup {}: {error}", folder.display()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 30 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
33 30 0:28 / /proc rw - proc proc rw";

    #[test]
    fn both_versions_are_found_on_a_hybrid_host() {
        let found = trees(HYBRID);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].controllers, Some(vec!["rw".into(), "memory".into()]));
        assert_eq!(found[1].mount_point, Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_path_never_leaves_the_tree() {
        assert_eq!(relative(Path::new("/a/../../b"), false), Path::new("a/b"));
        let systemd = relative(Path::new("user.slice:libpod:1f"), true);
        assert_eq!(systemd, Path::new("user.slice/libpod-1f.scope"));
    }

    #[test]
    fn limits_go_to_the_tree_that_controls_them() {
        let limits: LinuxResources = serde_json::from_value(serde_json::json!({
            "memory": {"limit": 1000}, "pids": {"limit": -1}, "cpu": {"quota": 5, "period": 10},
        }))
        .unwrap();
        let tree = |name: &str| Tree {
            mount_point: "/absent".into(),
            controllers: Some(vec![name.into()]),
        };
        assert_eq!(settings(&tree("memory"), &limits), [("memory.limit_in_bytes", "1000".into())]);
        assert_eq!(settings(&tree("pids"), &limits), [("pids.max", "max".into())]);
        assert_eq!(settings(&tree("cpu"), &limits).len(), 2);
        assert!(settings(&tree("freezer"), &limits).is_empty());
    }
}
