//! What stands in a sysfs.

use std::sync::Arc;

use abi::{Errno, fs::open::O_WRONLY};
use vfs::{BytesSrc, Ctx, Inode, Name, NewNode, OpenFile};

/// Files that are the same in every sandbox: path and contents.
const FILES: [(&str, &str); 6] = [
    ("kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n"),
    ("devices/system/node/online", "0\n"),
    ("devices/system/node/possible", "0\n"),
    ("class/net/lo/mtu", "65536\n"),
    ("class/net/lo/operstate", "unknown\n"),
];

/// Directories that must be there, be they empty.
const DIRECTORIES: [&str; 6] = ["block", "bus", "dev", "firmware", "fs/cgroup", "module"];

/// Fills `root`, an empty directory of a tmpfs, for a sandbox with `cpus` CPUs.
///
/// # Errors
///
/// What the file system says.
pub fn populate(cx: &Ctx<'_>, root: &Arc<dyn Inode>, cpus: usize) -> Result<(), Errno> {
    for path in DIRECTORIES {
        directory(cx, root, path)?;
    }
    for (path, contents) in FILES {
        file(cx, root, path, contents)?;
    }
    let list = if cpus <= 1 { "0\n".to_owned() } else { format!("0-{}\n", cpus - 1) };
    for name in ["online", "possible", "present"] {
        file(cx, root, &format!("devices/system/cpu/{name}"), &list)?;
    }
    file(cx, root, "devices/system/cpu/offline", "\n")?;
    for cpu in 0..cpus {
        let topology = format!("devices/system/cpu/cpu{cpu}/topology");
        file(cx, root, &format!("{topology}/core_id"), &format!("{cpu}\n"))?;
        file(cx, root, &format!("{topology}/physical_package_id"), "0\n")?;
    }
    Ok(())
}

/// Finds a directory below `root`, making what is missing of its path.
fn directory(cx: &Ctx<'_>, root: &Arc<dyn Inode>, path: &str) -> Result<Arc<dyn Inode>, Errno> {
    let mut here = root.clone();
    for part in path.split('/') {
        let name = Name::new(part.as_bytes())?;
        here = match here.lookup(cx, &name) {
            Err(Errno::ENOENT) => here.create(cx, &name, NewNode::Dir, 0o555)?,
            found => found?,
        };
    }
    Ok(here)
}

fn file(cx: &Ctx<'_>, root: &Arc<dyn Inode>, path: &str, contents: &str) -> Result<(), Errno> {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    let parent = directory(cx, root, parent)?;
    let inode = parent.create(cx, &Name::new(name.as_bytes())?, NewNode::File, 0o444)?;
    let file = OpenFile::new(inode.open(cx, O_WRONLY)?, None, O_WRONLY);
    file.add_user();
    let result = file.write(cx, &mut BytesSrc(contents.as_bytes()));
    file.remove_user(cx);
    result.map(|_| ())
}
