//! Mount points that the root file system lacks, made on the host before anything of it is shared.
//!
//! A root that is read-only inside is served read-only by the Gofer, so the Sentry can't make them. The
//! image may be hostile: its links are followed here, one by one, and never lead out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::spec::{FileSystem, Mount};

/// Linux follows as many in one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Makes what `mounts` need in `rootfs`. Points below another mount are that file system's and made by the
/// Sentry.
pub(crate) fn make_missing(rootfs: &Path, mounts: &[Mount]) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, rootfs, flags, Mode::empty())
        .with_context(|| format!("open {}", rootfs.display()))?;
    for (index, mount) in mounts.iter().enumerate() {
        let destination = Path::new(&mount.destination);
        if mounts[..index].iter().any(|above| destination.starts_with(&above.destination)) {
            continue;
        }
        make(&root, destination, is_dir(&mount.file_system)).with_context(|| {
            format!("mounts[{index}].destination: {}: make the mount point", mount.destination)
        })?;
    }
    Ok(())
}

fn is_dir(file_system: &FileSystem) -> bool {
    match file_system {
        FileSystem::Bind { source } => fs::metadata(source).is_ok_and(|found| found.is_dir()),
        _ => true,
    }
}

/// Walks to `path` in `root` and makes what is missing on the way: folders, and at the end a folder or an
/// empty file. A link to nothing is followed too, as images have them at /etc/resolv.conf.
fn make(root: &OwnedFd, path: &Path, is_dir: bool) -> Result<()> {
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut at = PathBuf::from(".");
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            // Above "." there is nothing: the root is its own parent.
            at = at.parent().filter(|above| *above != Path::new("")).unwrap_or(&at).to_owned();
            continue;
        }
        let folder = open_folder(root, &at)?;
        match readlinkat(&folder, &name, Vec::new()) {
            Ok(target) => {
                links += 1;
                ensure!(links <= MOST_LINKS, Errno::LOOP);
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    at = PathBuf::from(".");
                }
                parts(&target).rev().for_each(|part| rest.push_front(part));
                continue;
            }
            // Something else than a link.
            Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => make_one(&folder, &name, is_dir || !rest.is_empty())?,
            Err(error) => return Err(error.into()),
        }
        at.push(name);
    }
    Ok(())
}

/// The names in a path; the root and single dots lead nowhere.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// A folder whose path has no links. Who puts one in meanwhile gets an error, not a way out.
fn open_folder(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

fn make_one(folder: &OwnedFd, name: &OsStr, is_dir: bool) -> Result<(), Errno> {
    let made = if is_dir {
        mkdirat(folder, name, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        // Another container of the same root was faster.
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mount(destination: &str, file_system: FileSystem) -> Mount {
        let destination = destination.to_owned();
        Mount { destination, file_system, readonly: false, options: Vec::new() }
    }

    fn file() -> FileSystem {
        FileSystem::Bind { source: "/etc/passwd".into() }
    }

    #[test]
    fn folders_and_files_are_made_as_the_source_is() {
        let root = tempfile::tempdir().unwrap();
        let mounts = [mount("/a/b", FileSystem::Tmpfs), mount("/c/./d", file())];
        make_missing(root.path(), &mounts).unwrap();
        assert!(root.path().join("a/b").is_dir());
        assert_eq!(fs::read(root.path().join("c/d")).unwrap(), b"");
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("hosts"), "text").unwrap();
        make_missing(root.path(), &[mount("/hosts", file())]).unwrap();
        assert_eq!(fs::read(root.path().join("hosts")).unwrap(), b"text");
    }

    #[test]
    fn a_point_below_another_mount_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let mounts = [mount("/dev", FileSystem::Dev), mount("/dev/shm", FileSystem::Tmpfs)];
        make_missing(root.path(), &mounts).unwrap();
        assert!(root.path().join("dev").is_dir());
        assert!(!root.path().join("dev/shm").exists());
    }

    #[test]
    fn links_to_nothing_are_followed_inside() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink("../run/resolve/stub.conf", root.path().join("etc/resolv.conf")).unwrap();
        make_missing(root.path(), &[mount("/etc/resolv.conf", file())]).unwrap();
        assert!(root.path().join("run/resolve/stub.conf").is_file());
    }

    #[test]
    fn links_do_not_lead_out() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(outer.path().join("host")).unwrap();
        fs::create_dir(&root).unwrap();
        let host = outer.path().join("host");
        symlink(&host, root.join("absolute")).unwrap();
        symlink("../../../../host", root.join("climbing")).unwrap();
        symlink(host.join("file"), root.join("last")).unwrap();
        let mounts =
            ["/absolute/x", "/climbing/y", "/../../host/z", "/last"].map(|to| mount(to, file()));
        make_missing(&root, &mounts).unwrap();
        assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
        assert!(root.join("host/y").is_file());
        assert!(root.join("host/z").is_file());
    }

    #[test]
    fn links_in_a_ring_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink("two", root.path().join("one")).unwrap();
        symlink("one", root.path().join("two")).unwrap();
        let error = make_missing(root.path(), &[mount("/one/x", file())]).unwrap_err();
        assert_eq!(error.downcast_ref::<Errno>(), Some(&Errno::LOOP), "{error:#}");
    }
}
