//! Links of procfs: by text, and those that lead to a place itself.

use std::sync::Arc;

use abi::Errno;
use vfs::{Ctx, Dentry, Path};

use super::{
    inode::{ProcInode, reader},
    node::{Node, OwnLink, Place},
};

/// What readlink(2) tells.
pub(super) fn text(inode: &ProcInode, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
    match inode.node {
        Node::OwnLink(link) => {
            let task = reader(cx).ok_or(Errno::ENOENT)?;
            let pid = task.process.pid;
            Ok(match link {
                OwnLink::Own => pid.to_string(),
                OwnLink::OwnThread => format!("{pid}/task/{}", task.tid()),
                OwnLink::Mounts => "self/mounts".to_owned(),
                OwnLink::Net => "self/net".to_owned(),
            }
            .into_bytes())
        }
        Node::Namespace(_, super::node::NamespaceName(name)) => {
            Ok(format!("{name}:[{}]", 0xf000_0000_u64 + inode.node.ino() % 0x1000).into_bytes())
        }
        Node::Place(pid, place) => {
            inode.check_trace(cx, pid)?;
            let path = held(inode, pid, place)?;
            Ok(cx.path_of(&path).unwrap_or_else(|| b"/".to_vec()))
        }
        Node::Fd(pid, fd) => {
            inode.check_trace(cx, pid)?;
            let file = inode.fs.task(pid).and_then(|task| task.files()).ok_or(Errno::ENOENT)?;
            let file = file.get(fd).map_err(|_| Errno::ENOENT)?;
            Ok(match file.path() {
                Some(path) => cx.path_of(path).unwrap_or_else(|| b"/".to_vec()),
                None => file.file().link_text().into_bytes(),
            })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn held(inode: &ProcInode, pid: kernel::Pid, place: Place) -> Result<Path, Errno> {
    let task = inode.fs.task(pid).ok_or(Errno::ENOENT)?;
    match place {
        Place::Exe => task.exe.lock().clone().ok_or(Errno::ENOENT),
        Place::Cwd => Ok(task.fs().cwd()),
        Place::Root => Ok(task.fs().root()),
    }
}

/// Where a link leads without its text; `None` for an ordinary link.
pub(super) fn jump(inode: &ProcInode, cx: &Ctx<'_>) -> Option<Result<Path, Errno>> {
    match inode.node {
        Node::Place(pid, place) => {
            let allowed = inode.check_trace(cx, pid);
            Some(allowed.and_then(|()| held(inode, pid, place)))
        }
        Node::Fd(pid, fd) => {
            Some(inode.check_trace(cx, pid).and_then(|()| descriptor(inode, pid, fd)))
        }
        Node::Namespace(..) => Some(Err(Errno::EACCES)),
        _ => None,
    }
}

/// The place behind a descriptor. A file without a name gets one in no directory, so that it can
/// be opened again (`/dev/stdin` is such a link).
fn descriptor(inode: &ProcInode, pid: kernel::Pid, fd: i32) -> Result<Path, Errno> {
    let files = inode.fs.task(pid).and_then(|task| task.files()).ok_or(Errno::ENOENT)?;
    let file = files.get(fd).map_err(|_| Errno::ENOENT)?;
    if let Some(path) = file.path() {
        return Ok(path.clone());
    }
    let target = file.file().inode().ok_or(Errno::ENXIO)?;
    Ok(Path { mount: Arc::clone(&inode.fs.nameless), dentry: Dentry::root(target) })
}
