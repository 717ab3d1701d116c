//! Copying from the lower tree to the upper one.

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK},
        open::{O_NOATIME, O_RDONLY, O_RDWR},
    },
};
use vfs::{BytesDst, BytesSrc, Ctx, Inode, Metadata, Name, NewNode, SetAttr, SetTime, XattrFlags};

use super::inode::Node;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 128 * 1024;

impl Node {
    /// The upper side; copies the file there if it has none yet, and the directories above. Of a
    /// file that is about to be cut, no more than `limit` bytes are copied.
    pub(super) fn copy_up(
        &self,
        cx: &Ctx<'_>,
        limit: Option<u64>,
    ) -> Result<Arc<dyn Inode>, Errno> {
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let mut above = Vec::new();
        let mut here = self.place.as_ref();
        while let Some((parent, _)) = here.filter(|(parent, _)| parent.upper().is_none()) {
            above.push(Arc::clone(parent));
            here = parent.place.as_ref();
        }
        while let Some(directory) = above.pop() {
            directory.copy_up_one(cx, None)?;
        }
        self.copy_up_one(cx, limit)
    }

    fn copy_up_one(&self, cx: &Ctx<'_>, limit: Option<u64>) -> Result<Arc<dyn Inode>, Errno> {
        let _alone = self.copying.lock(cx.fiber);
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let cx = &self.fs.own(cx);
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let (parent, name) = self.place.as_ref().ok_or(Errno::EIO)?;
        let dir = parent.upper().ok_or(Errno::EIO)?;
        let meta = lower.metadata(cx)?;
        if self.kind != S_IFREG {
            return self.copy_special(cx, (parent, &dir, name), lower, &meta);
        }
        let upper = dir.create_unnamed(cx, meta.mode & 0o7777)?;
        copy_contents(cx, lower, &upper, limit.map_or(meta.size, |limit| limit.min(meta.size)))?;
        self.copy_attributes(cx, &**lower, &*upper, &meta)?;
        let _changing = parent.changes.lock(cx.fiber);
        // One that was removed meanwhile stays without a name.
        if !self.state.lock().removed {
            keeping_times(cx, &*dir, || dir.link(cx, name, &upper))?;
        }
        self.set_upper(&upper, upper.metadata(cx)?.ino)?;
        Ok(upper)
    }

    /// Copies what has no contents.
    fn copy_special(
        &self,
        cx: &Ctx<'_>,
        (parent, dir, name): (&Arc<Self>, &Arc<dyn Inode>, &Name),
        lower: &Arc<dyn Inode>,
        meta: &Metadata,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let target = if self.kind == S_IFLNK { lower.read_link(cx)? } else { Vec::new() };
        let new = match self.kind {
            S_IFDIR => NewNode::Dir,
            S_IFLNK => NewNode::Symlink(&target),
            S_IFIFO => NewNode::Fifo,
            S_IFSOCK => NewNode::Socket,
            S_IFCHR => NewNode::CharDevice(meta.rdev),
            S_IFBLK => NewNode::BlockDevice(meta.rdev),
            _ => return Err(Errno::EIO),
        };
        let _changing = parent.changes.lock(cx.fiber);
        if self.state.lock().removed {
            return Err(Errno::ENOENT);
        }
        keeping_times(cx, &**dir, || {
            let upper = dir.create(cx, name, new, meta.mode & 0o7777)?;
            let copied = self.copy_attributes(cx, &**lower, &*upper, meta);
            if copied.is_err() {
                // What has not all its attributes must not show.
                let _ = if self.is_dir() { dir.rmdir(cx, name) } else { dir.unlink(cx, name) };
            }
            copied?;
            self.set_upper(&upper, upper.metadata(cx)?.ino)?;
            Ok(upper)
        })
    }

    fn copy_attributes(
        &self,
        cx: &Ctx<'_>,
        lower: &dyn Inode,
        upper: &dyn Inode,
        meta: &Metadata,
    ) -> Result<(), Errno> {
        let names = match lower.list_xattr(cx) {
            Err(Errno::EOPNOTSUPP) => Vec::new(),
            names => names?,
        };
        for name in names {
            let value = lower.get_xattr(cx, &name)?;
            match upper.set_xattr(cx, &name, &value, XattrFlags::default()) {
                // An attribute that the upper tree can't have.
                Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EPERM) => {}
                Err(error) => return Err(error),
            }
        }
        self.fs.set_origin(cx, upper, self.ino)?;
        let mode = (self.kind != S_IFLNK).then_some(meta.mode & 0o7777);
        let (atime, mtime) = (Some(SetTime::To(meta.atime)), Some(SetTime::To(meta.mtime)));
        let (uid, gid) = (Some(meta.uid), Some(meta.gid));
        upper.set_attr(cx, &SetAttr { mode, uid, gid, atime, mtime, size: None })
    }
}

/// Does something to a directory that its times do not tell of.
fn keeping_times<T>(
    cx: &Ctx<'_>,
    dir: &dyn Inode,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let before = dir.metadata(cx)?;
    let result = act()?;
    let (atime, mtime) = (Some(SetTime::To(before.atime)), Some(SetTime::To(before.mtime)));
    dir.set_attr(cx, &SetAttr { atime, mtime, ..SetAttr::default() })?;
    Ok(result)
}

/// Copies the first `size` bytes. Pieces that are all zero stay holes.
fn copy_contents(
    cx: &Ctx<'_>,
    lower: &Arc<dyn Inode>,
    upper: &Arc<dyn Inode>,
    size: u64,
) -> Result<(), Errno> {
    if size == 0 {
        return Ok(());
    }
    let from = Arc::clone(lower).open(cx, O_RDONLY | O_NOATIME)?;
    let to = Arc::clone(upper).open(cx, O_RDWR)?;
    let room = usize::try_from(size).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    let (mut piece, mut offset) = (vec![0; room], 0);
    while offset < size {
        let want = usize::try_from(size - offset).unwrap_or(room).min(room);
        let space = piece.get_mut(..want).unwrap_or_default();
        let got = from.read(cx, &mut BytesDst::new(space), offset)?;
        let bytes = piece.get(..got).unwrap_or_default();
        if got == 0 {
            break;
        }
        if bytes.iter().any(|byte| *byte != 0)
            && to.write(cx, &mut BytesSrc(bytes), offset)? < bytes.len()
        {
            return Err(Errno::ENOSPC);
        }
        offset += got as u64;
        cx.fiber.yield_now();
    }
    upper.set_attr(cx, &SetAttr { size: Some(offset), ..SetAttr::default() })
}
