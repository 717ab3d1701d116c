//! Extended attributes.
//!
//! An `O_PATH` descriptor has none, so the file is opened for each request; links and special files
//! have none that count here.

use p9::{
    Data, Rgetxattrx, Rlistxattrx, Rremovexattrx, Rsetxattrx, Rxattrcreate, Rxattrwalk, Str,
    Tgetxattrx, Tremovexattrx, Tsetxattrx, Txattrcreate, Txattrwalk,
};
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, OFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use crate::fid::{Fid, State, XattrWrite};
use crate::node::Node;
use crate::open::ProcFd;
use crate::session::Session;

/// Longest value and longest list of names (xattr(7)).
const MOST: usize = 65_536;

/// Longest name.
const NAME_MOST: usize = 255;

/// Attributes that mean something to the host besides the file's own owner and contents are hidden:
/// `trusted.overlay.redirect`, for one, tells an overlay of the host where else to look.
fn visible(name: &[u8]) -> bool {
    const EXACT: [&[u8]; 3] =
        [b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"];
    (name.starts_with(b"user.") && name.len() > 5) || EXACT.contains(&name)
}

fn checked(name: &[u8]) -> Result<&[u8], Errno> {
    if name.is_empty() || name.len() > NAME_MOST || name.contains(&0) {
        return Err(Errno::RANGE);
    }
    if visible(name) { Ok(name) } else { Err(Errno::OPNOTSUPP) }
}

fn get(proc: &ProcFd, node: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let name = checked(name)?;
    let file = open(proc, node)?;
    let mut value = Vec::with_capacity(MOST);
    fgetxattr(file, name, spare_capacity(&mut value))?;
    Ok(value)
}

/// The names, each with a NUL at its end.
fn names(proc: &ProcFd, node: &Node) -> Result<Vec<u8>, Errno> {
    if !has_xattrs(node) {
        return Ok(Vec::new());
    }
    let file = open(proc, node)?;
    let mut all = Vec::with_capacity(MOST);
    flistxattr(file, spare_capacity(&mut all))?;
    let shown = all.split_inclusive(|byte| *byte == 0);
    Ok(shown
        .filter(|name| visible(name.strip_suffix(b"\0").unwrap_or(name)))
        .flatten()
        .copied()
        .collect())
}

fn set(proc: &ProcFd, node: &Node, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
    let name = checked(name)?;
    let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
    fsetxattr(open(proc, node)?, name, value, flags)
}

fn remove(proc: &ProcFd, node: &Node, name: &[u8]) -> Result<(), Errno> {
    let name = checked(name)?;
    fremovexattr(open(proc, node)?, name)
}

fn has_xattrs(node: &Node) -> bool {
    matches!(node.kind(), FileType::RegularFile | FileType::Directory)
}

fn open(proc: &ProcFd, node: &Node) -> Result<std::os::fd::OwnedFd, Errno> {
    if has_xattrs(node) { proc.open(node, OFlags::RDONLY) } else { Err(Errno::OPNOTSUPP) }
}

impl Session {
    /// Reads a value, or the list of names if no name is given, for the client to fetch by `Tread`.
    pub(crate) fn xattrwalk(&mut self, t: &Txattrwalk) -> Result<Rxattrwalk, Errno> {
        let node = self.fids.node(t.fid)?;
        self.fids.check_free([t.newfid])?;
        let proc = &self.tree.proc;
        let value =
            if t.name.is_empty() { names(proc, &node)? } else { get(proc, &node, &t.name)? };
        let size = u64::try_from(value.len()).map_err(|_| Errno::OVERFLOW)?;
        self.fids.bind(t.newfid, Fid { node, state: State::XattrRead(value) });
        Ok(Rxattrwalk { size })
    }

    /// Starts to collect a value.
    pub(crate) fn xattrcreate(&mut self, t: Txattrcreate) -> Result<Rxattrcreate, Errno> {
        self.writable()?;
        checked(&t.name)?;
        let size = usize::try_from(t.attr_size).ok().filter(|size| *size <= MOST);
        let size = size.ok_or(Errno::TOOBIG)?;
        let fid = self.fids.get_mut(t.fid)?;
        if !matches!(fid.state, State::Path) {
            return Err(Errno::INVAL);
        }
        let (name, flags) = (t.name.into_bytes(), t.flags);
        fid.state = State::XattrWrite(XattrWrite { name, flags, size, value: Vec::new() });
        Ok(Rxattrcreate {})
    }

    /// Sets a value that was collected; an empty one removes it, which is how Linux asks for that.
    pub(crate) fn finish_xattr(&self, node: &Node, to: &XattrWrite) -> Result<(), Errno> {
        if to.value.len() != to.size {
            return Err(Errno::INVAL);
        }
        if to.size == 0 {
            return remove(&self.tree.proc, node, &to.name);
        }
        set(&self.tree.proc, node, &to.name, &to.value, to.flags)
    }

    pub(crate) fn getxattrx(&mut self, t: &Tgetxattrx) -> Result<Rgetxattrx, Errno> {
        let value = get(&self.tree.proc, &self.fids.get(t.fid)?.node, &t.name)?;
        Ok(Rgetxattrx { value: Data(value) })
    }

    pub(crate) fn setxattrx(&mut self, t: &Tsetxattrx) -> Result<Rsetxattrx, Errno> {
        self.writable()?;
        set(&self.tree.proc, &self.fids.get(t.fid)?.node, &t.name, &t.value, t.flags)?;
        Ok(Rsetxattrx {})
    }

    pub(crate) fn listxattrx(&mut self, fid: u32) -> Result<Rlistxattrx, Errno> {
        let all = names(&self.tree.proc, &self.fids.get(fid)?.node)?;
        let each = all.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let names = each.map(Str::new).collect::<Result<_, _>>();
        Ok(Rlistxattrx { names: names.map_err(|_| Errno::RANGE)? })
    }

    pub(crate) fn removexattrx(&mut self, t: &Tremovexattrx) -> Result<Rremovexattrx, Errno> {
        self.writable()?;
        remove(&self.tree.proc, &self.fids.get(t.fid)?.node, &t.name)?;
        Ok(Rremovexattrx {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_host_are_hidden() {
        for shown in ["user.a", "security.capability", "system.posix_acl_access"] {
            assert_eq!(checked(shown.as_bytes()), Ok(shown.as_bytes()));
        }
        for hidden in ["trusted.overlay.redirect", "security.selinux", "user.", "usera"] {
            assert_eq!(checked(hidden.as_bytes()), Err(Errno::OPNOTSUPP));
        }
        assert_eq!(checked(b""), Err(Errno::RANGE));
        assert_eq!(checked(b"user.a\0b"), Err(Errno::RANGE));
    }
}
