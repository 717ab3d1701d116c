//! The mounts of a container.

use std::sync::Arc;

use abi::Errno;
use auth::Credentials;
use control::Report;
use fs::{Shared, devfs, devpts::Devpts, sysfs, tmpfs};
use kernel::{FsContext, Kernel};
use sched::Fiber;
use vfs::{Ctx, Dentry, Filesystem, Inode, LookupFlags, MountFlags, MountNamespace};

use crate::config::{Mount, MountKind, Overlay, RootFs};
use crate::places::find_or_make;

/// A file system with its root.
type Root = (Arc<dyn Filesystem>, Arc<dyn Inode>);

/// Makes the caller for work before there is a task: root of the sandbox, at its root.
pub(crate) fn with_ctx<R>(
    fiber: &Fiber<'_>,
    fs: &Arc<FsContext>,
    work: impl FnOnce(&Ctx<'_>) -> R,
) -> R {
    let env = fs.env(fiber, Arc::new(Credentials::root()), None);
    work(&env.ctx())
}

/// Mounts the root.
pub(crate) fn mount_root(
    fiber: &Fiber<'_>,
    shared: &Arc<Shared>,
    root: RootFs,
) -> Result<Arc<MountNamespace>, Report> {
    let step = |errno| report("mount the root file system", "root.path", errno);
    let reactor = fiber.sched().reactor().clone();
    let (lower, inode) =
        fs::gofer::mount(fiber, shared, &reactor, root.socket, fs::gofer::Caching::Exclusive)
            .map_err(step)?;
    let (filesystem, inode): Root = match root.overlay {
        Overlay::None => (lower, inode),
        Overlay::Memory => {
            let (_, memory) = tmpfs::Tmpfs::new(shared, tmpfs::Options::default()).map_err(step)?;
            fs::overlay::mount(fiber, shared, inode, &memory).map_err(step)?
        }
    };
    Ok(MountNamespace::new(filesystem, Dentry::root(inode), "none", MountFlags::default()))
}

/// Makes the mounts in order, and their mount points where they are missing. Those in memory become
/// read-only last of all: engines mount a read-only `/sys/fs/cgroup` and then something below it.
pub(crate) fn mount_all(
    cx: &Ctx<'_>,
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    devpts: &(Arc<Devpts>, Arc<dyn Inode>),
    mounts: Vec<Mount>,
    terminal: bool,
) -> Result<(), Report> {
    let mut readonly = Vec::new();
    for (index, mount) in mounts.into_iter().enumerate() {
        let (destination, is_readonly) = (mount.destination.clone(), mount.readonly);
        let made = mount_one(cx, kernel, shared, devpts, mount, terminal).map_err(|errno| {
            let subject = format!("mounts[{index}].destination: {destination}");
            report("mount", &subject, errno)
        })?;
        readonly.extend(is_readonly.then_some(made));
    }
    readonly.iter().for_each(|mount| make_mount_readonly(mount));
    Ok(())
}

/// From now on nobody writes through this mount.
pub(crate) fn make_mount_readonly(mount: &vfs::Mount) {
    mount.flags.lock().read_only = true;
}

fn mount_one(
    cx: &Ctx<'_>,
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    devpts: &(Arc<Devpts>, Arc<dyn Inode>),
    mount: Mount,
    tty: bool,
) -> Result<Arc<vfs::Mount>, Errno> {
    let has = |name: &str| mount.options.iter().any(|option| option == name);
    let flags = MountFlags {
        read_only: mount.readonly && matches!(mount.kind, MountKind::Gofer(_)),
        no_suid: has("nosuid"),
        no_dev: has("nodev"),
        no_exec: has("noexec"),
        no_atime: has("noatime"),
    };
    let source = source_of(&mount.kind);
    let is_dev = matches!(mount.kind, MountKind::Dev);
    let (filesystem, root): Root = match mount.kind {
        MountKind::Devpts => (devpts.0.clone(), devpts.1.clone()),
        kind => make(cx, kernel, shared, kind, &mount.options)?,
    };
    let is_dir = root.metadata(cx)?.is_dir();
    let at = find_or_make(cx, mount.destination.as_bytes(), is_dir)?;
    let made = cx.mounts.mount(at, filesystem, Dentry::root(root.clone()), source, flags)?;
    if is_dev {
        devfs::populate(cx, &root, tty)?;
    }
    Ok(made)
}

fn source_of(kind: &MountKind) -> &'static str {
    match kind {
        MountKind::Gofer(_) => "none",
        MountKind::Tmpfs | MountKind::Dev => "tmpfs",
        MountKind::Proc => "proc",
        MountKind::Sysfs => "sysfs",
        MountKind::Devpts => "devpts",
        MountKind::Mqueue => "mqueue",
        MountKind::Cgroup => "cgroup",
    }
}

fn make(
    cx: &Ctx<'_>,
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    kind: MountKind,
    options: &[String],
) -> Result<Root, Errno> {
    let memory = |options: tmpfs::Options| -> Result<Root, Errno> {
        let (fs, root) = tmpfs::Tmpfs::new(shared, options)?;
        Ok((fs, root))
    };
    match kind {
        MountKind::Gofer(socket) => {
            let reactor = cx.fiber.sched().reactor().clone();
            fs::gofer::mount(cx.fiber, shared, &reactor, socket, fs::gofer::Caching::Shared)
        }
        MountKind::Tmpfs => memory(tmpfs_options(options, 0o1777)?),
        MountKind::Dev => memory(tmpfs_options(options, 0o755)?),
        MountKind::Mqueue => memory(tmpfs::Options { mode: 0o1777, ..tmpfs::Options::default() }),
        MountKind::Proc => {
            let (fs, root) = fs::procfs::Procfs::new(kernel, shared);
            Ok((fs, root))
        }
        MountKind::Sysfs => {
            let options = tmpfs::Options { mode: 0o555, ..tmpfs::Options::default() };
            let (fs, root) = tmpfs::Tmpfs::with_kind(shared, options, "sysfs")?;
            sysfs::populate(cx, &root, kernel.sched.executors())?;
            Ok((fs, root))
        }
        MountKind::Devpts | MountKind::Cgroup => {
            memory(tmpfs::Options { mode: 0o555, ..tmpfs::Options::default() })
        }
    }
}

/// The options that tmpfs itself knows; the generic ones are the mount's.
fn tmpfs_options(options: &[String], mode: u32) -> Result<tmpfs::Options, Errno> {
    let generic = ["nosuid", "nodev", "noexec", "noatime", "newinstance"];
    let own: Vec<&str> =
        options.iter().map(String::as_str).filter(|option| !generic.contains(option)).collect();
    let mut parsed = tmpfs::Options::parse(&own.join(","))?;
    if !own.iter().any(|option| option.starts_with("mode=")) {
        parsed.mode = mode;
    }
    Ok(parsed)
}

/// Lets `masked` paths show nothing and `readonly` paths be unwritable, where they exist.
pub(crate) fn protect(
    cx: &Ctx<'_>,
    shared: &Arc<Shared>,
    masked: &[String],
    readonly: &[String],
) -> Result<(), Report> {
    for path in masked {
        mask(cx, shared, path.as_bytes()).map_err(|e| report("mask a path", path, e))?;
    }
    for path in readonly {
        make_readonly(cx, path.as_bytes()).map_err(|e| report("make a path read-only", path, e))?;
    }
    Ok(())
}

fn mask(cx: &Ctx<'_>, shared: &Arc<Shared>, path: &[u8]) -> Result<(), Errno> {
    let Ok(at) = cx.lookup(cx.root, path, LookupFlags::default()) else { return Ok(()) };
    let flags = MountFlags { read_only: true, ..MountFlags::default() };
    if at.inode().metadata(cx)?.is_dir() {
        let options = tmpfs::Options { mode: 0o555, ..tmpfs::Options::default() };
        let (filesystem, root) = tmpfs::Tmpfs::new(shared, options)?;
        cx.mounts.mount(at, filesystem, Dentry::root(root), "tmpfs", flags)?;
        return Ok(());
    }
    let null = cx.lookup(cx.root, b"/dev/null", LookupFlags::default())?;
    let filesystem = null.mount.filesystem.clone();
    cx.mounts.mount(at, filesystem, null.dentry, "null", MountFlags::default())?;
    Ok(())
}

fn make_readonly(cx: &Ctx<'_>, path: &[u8]) -> Result<(), Errno> {
    let Ok(at) = cx.lookup(cx.root, path, LookupFlags::default()) else { return Ok(()) };
    let flags = MountFlags { read_only: true, ..at.mount.flags() };
    let (filesystem, root) = (at.mount.filesystem.clone(), at.dentry.clone());
    let source = at.mount.source.clone();
    cx.mounts.mount(at, filesystem, root, &source, flags)?;
    Ok(())
}

/// A report with the errno of a Linux call inside.
pub(crate) fn report(step: &str, subject: &str, errno: Errno) -> Report {
    Report {
        errno: Some(i32::from(errno.raw())),
        ..Report::new(step, errno.to_string()).about(subject)
    }
}
