//! Path walk (`path_resolution(7)`).

use std::sync::Arc;

use abi::Errno;

use crate::{Ctx, Dentry, Name, Path, perm};

/// Longest path (`PATH_MAX`, with its NUL).
const PATH_MAX_BYTES: usize = 4096;
/// Most symbolic links followed in one walk (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;

/// How to walk. The default follows a link at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag of openat2(2)")]
pub struct LookupFlags {
    /// A symbolic link at the end is the result itself.
    pub no_follow: bool,
    /// The result must be a directory.
    pub directory: bool,
    /// `RESOLVE_BENEATH`.
    pub beneath: bool,
    /// `RESOLVE_IN_ROOT`.
    pub in_root: bool,
    /// `RESOLVE_NO_XDEV`.
    pub no_xdev: bool,
    /// `RESOLVE_NO_SYMLINKS`.
    pub no_symlinks: bool,
    /// `RESOLVE_NO_MAGICLINKS`.
    pub no_magic_links: bool,
}

/// The last component of a path, not looked up.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The directory.
    pub dir: Path,
    /// The name in it; `None` if the path ends in `.`, `..` or `/`.
    pub name: Option<Name>,
    /// What the path ends in, where that is no name: `.`, `..` or nothing.
    pub special: &'static str,
    /// The path ended in a slash.
    pub slash: bool,
}

struct Walk<'c> {
    cx: &'c Ctx<'c>,
    flags: LookupFlags,
    /// Where `..` stops.
    root: Path,
    here: Path,
    links_left: u32,
}

impl Ctx<'_> {
    /// Finds the place that `path` names, from `start` if it is relative.
    ///
    /// # Errors
    ///
    /// As `path_resolution(7)`; `ENOENT` for an empty path.
    pub fn lookup(&self, start: &Path, path: &[u8], flags: LookupFlags) -> Result<Path, Errno> {
        let mut walk = self.walk_from(start, path, flags)?;
        walk.run(path, true)?;
        Ok(walk.here)
    }

    /// Finds the directory that `path`'s last component is to be made in or removed from.
    ///
    /// # Errors
    ///
    /// As `path_resolution(7)`.
    pub fn lookup_parent(
        &self,
        start: &Path,
        path: &[u8],
        flags: LookupFlags,
    ) -> Result<Parent, Errno> {
        let (prefix, last, slash) = split(path);
        let mut walk = self.walk_from(start, path, flags)?;
        walk.run(prefix, false)?;
        let (name, special) = match last {
            b"" => (None, ""),
            b"." => (None, "."),
            b".." => (None, ".."),
            name => (Some(Name::new(name)?), ""),
        };
        walk.require_search()?;
        Ok(Parent { dir: walk.here, name, special, slash })
    }

    fn walk_from<'c>(
        &'c self,
        start: &Path,
        path: &[u8],
        flags: LookupFlags,
    ) -> Result<Walk<'c>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX_BYTES {
            return Err(Errno::ENAMETOOLONG);
        }
        let confined = flags.beneath || flags.in_root;
        let root = if confined { start.clone() } else { self.root.clone() };
        let mut walk = Walk { cx: self, flags, root, here: start.clone(), links_left: LINKS_MAX };
        if path.starts_with(b"/") {
            walk.restart_at_root()?;
        }
        Ok(walk)
    }
}

/// Splits `a/b/c//` into `a/b/`, `c` and "ended in a slash".
fn split(path: &[u8]) -> (&[u8], &[u8], bool) {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let (trimmed, rest) = path.split_at(end);
    let start = trimmed.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let (prefix, last) = trimmed.split_at(start);
    (prefix, last, !rest.is_empty())
}

impl Walk<'_> {
    fn restart_at_root(&mut self) -> Result<(), Errno> {
        if self.flags.beneath {
            return Err(Errno::EXDEV);
        }
        if self.flags.no_xdev && !Arc::ptr_eq(&self.here.mount, &self.root.mount) {
            return Err(Errno::EXDEV);
        }
        self.here = self.root.clone();
        Ok(())
    }

    /// Walks all components of `path`; `is_end` says that its last one is the end of the walk.
    fn run(&mut self, path: &[u8], is_end: bool) -> Result<(), Errno> {
        let mut rest = path.to_vec();
        let mut must_be_dir = !is_end || self.flags.directory;
        self.here.inode().prefetch(self.cx, trim(&rest));
        loop {
            let (component, after) = next_component(&rest);
            if component.is_empty() {
                break;
            }
            let is_last = after.iter().all(|b| *b == b'/');
            if is_last && !after.is_empty() {
                must_be_dir = true;
            }
            let follow = !is_last || !is_end || !self.flags.no_follow || !after.is_empty();
            let target = self.step(component, follow)?;
            rest = match target {
                Some(mut text) => {
                    if text.starts_with(b"/") {
                        self.restart_at_root()?;
                    }
                    text.extend_from_slice(after);
                    text
                }
                None => after.to_vec(),
            };
        }
        if must_be_dir && is_end && !self.here.inode().metadata(self.cx)?.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(())
    }

    /// Goes one component on; returns the text of a symbolic link that is to be followed.
    fn step(&mut self, component: &[u8], follow: bool) -> Result<Option<Vec<u8>>, Errno> {
        self.require_search()?;
        match component {
            b"." => return Ok(None),
            b".." => return self.up().map(|()| None),
            _ => {}
        }
        let name = Name::new(component)?;
        let dentry = self.here.dentry.lookup(self.cx, &name)?;
        self.arrive(dentry, follow)
    }

    fn arrive(&mut self, dentry: Arc<Dentry>, follow: bool) -> Result<Option<Vec<u8>>, Errno> {
        let path = Path { mount: self.here.mount.clone(), dentry };
        let path = self.cx.mounts.enter(path);
        if self.flags.no_xdev && !Arc::ptr_eq(&path.mount, &self.here.mount) {
            return Err(Errno::EXDEV);
        }
        if !follow || !path.inode().metadata(self.cx)?.is_symlink() {
            self.here = path;
            return Ok(None);
        }
        if self.flags.no_symlinks || self.links_left == 0 {
            return Err(Errno::ELOOP);
        }
        self.links_left -= 1;
        if let Some(target) = path.inode().jump(self.cx) {
            if self.flags.no_magic_links || self.flags.beneath || self.flags.in_root {
                return Err(Errno::ELOOP);
            }
            self.here = target?;
            return Ok(None);
        }
        let text = path.inode().read_link(self.cx)?;
        if text.is_empty() { Err(Errno::ENOENT) } else { Ok(Some(text)) }
    }

    fn require_search(&self) -> Result<(), Errno> {
        let meta = self.here.inode().metadata(self.cx)?;
        if !meta.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        self.cx.check(&meta, perm::EXECUTE)
    }

    fn up(&mut self) -> Result<(), Errno> {
        if self.here.same(&self.root) {
            return if self.flags.beneath { Err(Errno::EXDEV) } else { Ok(()) };
        }
        let mut path = self.here.clone();
        while Arc::ptr_eq(&path.dentry, &path.mount.root) {
            match path.mount.at() {
                Some(at) => path = at,
                None => return Ok(()),
            }
            if self.flags.no_xdev {
                return Err(Errno::EXDEV);
            }
            if path.same(&self.root) {
                self.here = path;
                return Ok(());
            }
        }
        if let Some(parent) = path.dentry.parent() {
            path.dentry = parent;
        }
        self.here = self.cx.mounts.enter(path);
        Ok(())
    }
}

fn trim(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or_default()
}

fn next_component(path: &[u8]) -> (&[u8], &[u8]) {
    let path = trim(path);
    let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
    path.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_is_split_off() {
        assert_eq!(split(b"a/b"), (&b"a/"[..], &b"b"[..], false));
        assert_eq!(split(b"/b/"), (&b"/"[..], &b"b"[..], true));
        assert_eq!(split(b"b"), (&b""[..], &b"b"[..], false));
        assert_eq!(split(b"//"), (&b""[..], &b""[..], true));
    }
}
