//! Making pipes.

use std::sync::Arc;

use abi::{
    Errno,
    fs::open::{O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY},
};
use vfs::{Ctx, Inode, OpenFile};

use super::inode::PipeInode;
use crate::Shared;

/// pipe2(2): makes a pipe; returns its reading and its writing end. `O_CLOEXEC` is the caller's.
///
/// # Errors
///
/// `EINVAL` for a flag that is not served (`O_DIRECT`: packets).
pub fn pipe(
    cx: &Ctx<'_>,
    shared: &Arc<Shared>,
    flags: u32,
) -> Result<(Arc<OpenFile>, Arc<OpenFile>), Errno> {
    if flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = PipeInode::new(cx, shared);
    let inode: Arc<dyn Inode> = node.clone();
    let (reader, writer) = node.fifo().pair(&inode, node.ino());
    let status = flags & O_NONBLOCK;
    Ok((
        OpenFile::new(reader, None, O_RDONLY | status),
        OpenFile::new(writer, None, O_WRONLY | status),
    ))
}
