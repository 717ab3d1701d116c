//! What a file system gives: open files.

use std::{any::Any, fmt, sync::Arc};

use abi::{Errno, UserAddr};
use mm::{Mappable, MemoryManager};
use sched::WaitQueue;

use crate::{Ctx, Dst, Inode, SetAttr, Src};

/// One entry of a directory listing.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Inode number.
    pub ino: u64,
    /// Where the next read goes on: the cursor behind this entry.
    pub next: u64,
    /// Type, as `d_type` (see [`abi::fs::dirent_type`]).
    pub kind: u8,
    /// Name (may be `.` and `..`).
    pub name: &'a [u8],
}

/// Takes directory entries.
pub trait DirSink {
    /// Takes one entry; false if it had no room (it is then not taken).
    fn add(&mut self, entry: DirEntry<'_>) -> bool;
}

/// An ioctl(2) call.
#[derive(Clone, Copy, Debug)]
pub struct Ioctl<'a> {
    /// The request number.
    pub request: u32,
    /// The argument.
    pub arg: u64,
    /// The caller's memory.
    pub mm: &'a MemoryManager,
}

impl Ioctl<'_> {
    /// The argument as an address.
    #[must_use]
    pub const fn addr(&self) -> UserAddr {
        UserAddr::new(self.arg)
    }
}

/// An open file: what read(2), write(2) and their like act on.
///
/// Stream-like files (pipes, sockets, ttys, eventfds) never block here: they answer `EAGAIN`, and
/// [`crate::OpenFile`] waits on [`File::wait_queue`] and tries again. Files of disks may block the
/// fiber. Access rights of the descriptor (`O_RDONLY`, …) are checked by [`crate::OpenFile`].
/// A method that is not overridden answers what Linux answers for such a file.
pub trait File: Any + state::Object + fmt::Debug {
    /// Reads from `offset` (which a stream ignores). 0 means end of file.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if nothing is there yet.
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        let _ = (cx, dst, offset);
        Err(Errno::EINVAL)
    }

    /// Writes at `offset` (which a stream ignores). `RLIMIT_FSIZE` was applied by the caller.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is no room yet.
    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, offset: u64) -> Result<usize, Errno> {
        let _ = (cx, src, offset);
        Err(Errno::EINVAL)
    }

    /// Writes at the end, wherever it is now; returns the count and the offset behind.
    ///
    /// # Errors
    ///
    /// As [`File::write`].
    fn append(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<(usize, u64), Errno> {
        let end = self.size(cx)?;
        let count = self.write(cx, src, end)?;
        Ok((count, end + count as u64))
    }

    /// True if it has a position: regular files, directories, some devices.
    fn seekable(&self) -> bool {
        false
    }

    /// Its size in bytes now, for `SEEK_END` and append.
    ///
    /// # Errors
    ///
    /// `ESPIPE` if it has none.
    fn size(&self, cx: &Ctx<'_>) -> Result<u64, Errno> {
        let _ = cx;
        Err(Errno::ESPIPE)
    }

    /// `SEEK_DATA` (`hole` false) or `SEEK_HOLE`: by default all is data up to the size.
    ///
    /// # Errors
    ///
    /// `ENXIO` beyond the end.
    fn seek_data(&self, cx: &Ctx<'_>, offset: u64, hole: bool) -> Result<u64, Errno> {
        let size = self.size(cx)?;
        match (offset < size, hole) {
            (false, _) => Err(Errno::ENXIO),
            (true, true) => Ok(size),
            (true, false) => Ok(offset),
        }
    }

    /// Directory: lists entries from `cursor` (0 at first) until `sink` is full; returns the
    /// cursor to go on from.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` if it is none.
    fn read_dir(&self, cx: &Ctx<'_>, cursor: u64, sink: &mut dyn DirSink) -> Result<u64, Errno> {
        let _ = (cx, cursor, sink);
        Err(Errno::ENOTDIR)
    }

    /// Which events of [`abi::fs::poll`] hold now. Regular files are always ready.
    fn poll(&self) -> u32 {
        use abi::fs::poll::{POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
        POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
    }

    /// Where to wait for events; `None` for files that are always ready.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Until when a call that starts now may wait (`CLOCK_MONOTONIC`), for sockets with a time-out
    /// of their own (socket(7), `SO_RCVTIMEO`). Such a call is not restarted after a signal.
    fn deadline_ns(&self, cx: &Ctx<'_>, writing: bool) -> Option<u64> {
        let _ = (cx, writing);
        None
    }

    /// Device control.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for a request that is not known here.
    fn ioctl(&self, cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        let _ = (cx, call);
        Err(Errno::ENOTTY)
    }

    /// What mmap(2) maps; `writable` if stores to a shared mapping must be possible.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it can't be mapped.
    fn mappable(&self, cx: &Ctx<'_>, writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        let _ = (cx, writable);
        Err(Errno::ENODEV)
    }

    /// Attributes, where they are not the inode's (files without a name).
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// ftruncate(2) and fallocate(2) with mode 0 go to the open file, which may be unlinked.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it has no size to set.
    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        match self.inode() {
            Some(inode) => inode.set_attr(cx, change),
            None => Err(Errno::EINVAL),
        }
    }

    /// fallocate(2).
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a mode that is not served.
    fn allocate(&self, cx: &Ctx<'_>, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let _ = (cx, mode, offset, len);
        Err(Errno::EOPNOTSUPP)
    }

    /// fsync(2) and fdatasync(2).
    ///
    /// # Errors
    ///
    /// `EINVAL` for what can't be synchronised.
    fn sync(&self, cx: &Ctx<'_>, data_only: bool) -> Result<(), Errno> {
        let _ = (cx, data_only);
        Err(Errno::EINVAL)
    }

    /// fcntl(2) commands of its kind (`F_SETPIPE_SZ`, `F_ADD_SEALS`, …).
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that is not known here.
    fn fcntl(&self, cx: &Ctx<'_>, command: u32, arg: u64) -> Result<u64, Errno> {
        let _ = (cx, command, arg);
        Err(Errno::EINVAL)
    }

    /// Told when status flags (`O_NONBLOCK`, `O_APPEND`, …) change.
    fn flags_changed(&self, flags: u32) {
        let _ = flags;
    }

    /// The last descriptor is closed: peers see the end now, whoever still holds an `Arc`.
    fn release(&self, cx: &Ctx<'_>) {
        let _ = cx;
    }

    /// A descriptor is closed, and others remain. All of those may be in flight, where nobody can
    /// receive them.
    fn descriptor_closed(&self, cx: &Ctx<'_>) {
        let _ = cx;
    }

    /// What `/proc/PID/fd/N` shows for a file without a path (`pipe:[7]`, `socket:[8]`).
    fn link_text(&self) -> String {
        "anon_inode:[unknown]".to_owned()
    }

    /// Further lines of `/proc/PID/fdinfo/N`.
    fn fdinfo(&self) -> String {
        String::new()
    }

    /// For its own kind (sockets, epoll, ttys): back to its own type.
    fn as_any(&self) -> &dyn Any;
}
