//! Places that are made if they are missing: mount points and working directories.

use std::collections::VecDeque;

use abi::{Errno, fs::open};
use vfs::{Ctx, LookupFlags, NewNode, OpenHow, Path};

/// Linux follows as many in one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Finds `path` from the root; makes missing directories and, for a file, an empty file. A link to
/// nothing is followed too: images have them at `/etc/resolv.conf`.
pub(crate) fn find_or_make(cx: &Ctx<'_>, path: &[u8], is_dir: bool) -> Result<Path, Errno> {
    match cx.lookup(cx.root, path, LookupFlags::default()) {
        Err(Errno::ENOENT) => {}
        result => return result,
    }
    let mut rest: VecDeque<Vec<u8>> = names(path).collect();
    let mut here = cx.root.clone();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let flags = LookupFlags { no_follow: true, ..LookupFlags::default() };
        let found = match cx.lookup(&here, &name, flags) {
            Err(Errno::ENOENT) => make(cx, &here, &name, is_dir || !rest.is_empty())?,
            found => found?,
        };
        if !found.inode().metadata(cx)?.is_symlink() {
            here = found;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::ELOOP);
        }
        let target = found.inode().read_link(cx)?;
        if target.starts_with(b"/") {
            here = cx.root.clone();
        }
        names(&target).rev().for_each(|name| rest.push_front(name));
    }
    Ok(here)
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec)
}

fn make(cx: &Ctx<'_>, dir: &Path, name: &[u8], is_dir: bool) -> Result<Path, Errno> {
    if is_dir {
        return cx.make(dir, name, NewNode::Dir, 0o755);
    }
    let flags = open::O_CREAT | open::O_EXCL | open::O_WRONLY;
    let file = cx.open(dir, name, OpenHow { flags, mode: 0o644, ..OpenHow::default() })?;
    file.add_user();
    file.remove_user(cx);
    cx.lookup(dir, name, LookupFlags { no_follow: true, ..LookupFlags::default() })
}
