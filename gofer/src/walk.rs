//! One step down a tree: the only way to get from one file to another.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::node::Node;

/// A name that is safe to hand to a call that takes a path.
pub(crate) fn name(bytes: &[u8]) -> Result<CString, Errno> {
    if bytes.len() > p9::NAME_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let name = p9::check_name(bytes).map_err(|_| Errno::INVAL)?;
    CString::new(name).map_err(|_| Errno::INVAL)
}

/// True once openat2(2) turned out to be missing (Linux before 5.6) or forbidden by an outer filter.
/// It is about the host, so one answer holds for the process.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens `name` in `dir` as a path. Never follows a link, whatever `name` becomes meanwhile.
pub(crate) fn step(dir: &Node, name: &CString) -> Result<OwnedFd, Errno> {
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        match beneath(dir, name) {
            Err(Errno::NOSYS | Errno::PERM) => NO_OPENAT2.store(true, Ordering::Relaxed),
            other => return other,
        }
    }
    without_openat2(dir, name)
}

const STEP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn beneath(dir: &Node, name: &CString) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(dir.as_fd(), name, STEP, Mode::empty(), resolve)
}

/// As good for one checked name: it has no slash and is not `..`, so only a link could lead elsewhere.
fn without_openat2(dir: &Node, name: &CString) -> Result<OwnedFd, Errno> {
    openat(dir.as_fd(), name, STEP, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType};
    use std::fs;

    fn root(path: &std::path::Path) -> Node {
        Node::new(openat(CWD, path, STEP, Mode::empty()).unwrap()).unwrap().0
    }

    #[test]
    fn both_ways_to_step_stop_at_links_and_agree_on_errors() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("l")).unwrap();
        let root = root(dir.path());
        for way in [beneath, without_openat2] {
            let step = |from: &Node, text: &str| {
                way(from, &name(text.as_bytes()).unwrap()).map(|fd| Node::new(fd).unwrap().0)
            };
            assert_eq!(step(&root, "d").unwrap().kind(), FileType::Directory);
            assert_eq!(step(&root, "f").unwrap().kind(), FileType::RegularFile);
            let link = step(&root, "l").unwrap();
            assert_eq!(link.kind(), FileType::Symlink);
            assert_eq!(step(&link, "etc").unwrap_err(), Errno::NOTDIR);
            assert_eq!(step(&step(&root, "f").unwrap(), "x").unwrap_err(), Errno::NOTDIR);
            assert_eq!(step(&root, "x").unwrap_err(), Errno::NOENT);
        }
    }

    #[test]
    fn a_name_that_is_no_name_never_reaches_the_host() {
        for bad in ["", ".", "..", "a/b", "/", "../x"] {
            assert_eq!(name(bad.as_bytes()), Err(Errno::INVAL));
        }
        assert_eq!(name(&[b'a'; 256]), Err(Errno::NAMETOOLONG));
    }
}
