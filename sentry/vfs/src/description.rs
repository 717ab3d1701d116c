//! Open file descriptions: what descriptors refer to (open(2), "open file description").

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use abi::{
    Errno,
    fs::{
        open::{O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY},
        poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
    },
};
use sched::Wake;
use state::live::Live;

use crate::{
    Ctx, DirSink, Dst, File, LockOwner, LockTable, Metadata, OwnerId, Path, SleepLock, Src,
};

/// Status flags that fcntl(2) `F_SETFL` can change.
const CHANGEABLE: u32 = O_APPEND
    | O_NONBLOCK
    | abi::fs::open::O_ASYNC
    | abi::fs::open::O_DIRECT
    | abi::fs::open::O_NOATIME;

/// An open file with its position and status flags, shared by all descriptors that were
/// duplicated from one another.
#[derive(Debug, state::Save, state::Load)]
pub struct OpenFile {
    file: Arc<dyn File>,
    path: Option<Path>,
    flags: AtomicU32,
    offset: AtomicU64,
    #[state(skip)]
    position: SleepLock,
    /// Descriptors (in tables and in flight) that refer to it. Apart from `Arc`, so that the end
    /// that peers see does not wait for a call that still runs.
    users: AtomicUsize,
    lock_owner: OwnerId,
    /// `F_SETOWN`: who gets SIGIO (pid, or negative process group).
    pub owner: AtomicI32,
    /// `F_SETSIG`.
    pub signal: AtomicI32,
    #[state(skip)]
    _live: Live<Self>,
}

impl OpenFile {
    /// Makes one with no descriptor yet; `flags` are `O_*` without creation flags.
    #[must_use]
    pub fn new(file: Arc<dyn File>, path: Option<Path>, flags: u32) -> Arc<Self> {
        Arc::new(Self {
            file,
            path,
            flags: AtomicU32::new(flags),
            offset: AtomicU64::new(0),
            position: SleepLock::default(),
            users: AtomicUsize::new(0),
            lock_owner: OwnerId::default(),
            owner: AtomicI32::new(0),
            signal: AtomicI32::new(0),
            _live: Live::new(),
        })
    }

    /// The file system's open file.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Its own kind of file, if it is a `T`.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.file.as_any().downcast_ref()
    }

    /// Where it was opened; `None` for pipes, sockets and their like.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// Access mode and status flags.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the status flags that may change (`F_SETFL`); others are ignored, as on Linux.
    pub fn set_flags(&self, flags: u32) {
        let kept = self.flags() & !CHANGEABLE;
        let new = kept | (flags & CHANGEABLE);
        self.flags.store(new, Ordering::Relaxed);
        self.file.flags_changed(new);
    }

    /// Sets or clears `O_NONBLOCK` (ioctl `FIONBIO`).
    pub fn set_nonblocking(&self, on: bool) {
        let flags = self.flags();
        self.set_flags(if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK });
    }

    /// True if calls must not wait.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// True if it was opened with `O_PATH`: it names a place and can't be read or written.
    #[must_use]
    pub fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }

    /// True if it may be read.
    #[must_use]
    pub fn readable(&self) -> bool {
        !self.is_path() && self.flags() & O_ACCMODE != O_WRONLY
    }

    /// True if it may be written.
    #[must_use]
    pub fn writable(&self) -> bool {
        !self.is_path() && self.flags() & O_ACCMODE != O_RDONLY
    }

    /// One more descriptor refers to it.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// True as long as a descriptor refers to it.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.users.load(Ordering::Acquire) != 0
    }

    /// How many descriptors, in tables and in flight, refer to it.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.load(Ordering::Acquire)
    }

    /// One descriptor less; the last one releases the file.
    pub fn remove_user(&self, cx: &Ctx<'_>) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.release_locks(cx, self.lock_owner(cx.mounts.locks()));
            self.file.release(cx);
        } else {
            self.file.descriptor_closed(cx);
        }
    }

    /// Who holds the locks of this description (flock(2), `F_OFD_SETLK`).
    #[must_use]
    pub fn lock_owner(&self, locks: &LockTable) -> LockOwner {
        LockOwner::Description(self.lock_owner.get(locks))
    }

    /// Lets go what `owner` holds on the file.
    pub fn release_locks(&self, cx: &Ctx<'_>, owner: LockOwner) {
        let locks = cx.mounts.locks();
        if locks.is_empty() {
            return;
        }
        if let Ok(meta) = self.metadata(cx) {
            locks.release((meta.dev, meta.ino), owner);
        }
    }

    /// Attributes of the file.
    ///
    /// # Errors
    ///
    /// What the file system says; `EBADF` if it has none.
    pub fn metadata(&self, cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        if let Some(inode) = self.file.inode() {
            return inode.metadata(cx);
        }
        self.path.as_ref().ok_or(Errno::EBADF)?.inode().metadata(cx)
    }

    /// read(2): at the position, which moves.
    ///
    /// # Errors
    ///
    /// As read(2); `ERESTARTSYS` when interrupted.
    pub fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst) -> Result<usize, Errno> {
        if !self.file.seekable() {
            return self.read_at(cx, dst, 0);
        }
        let _position = self.position.lock(cx.fiber);
        let offset = self.offset.load(Ordering::Relaxed);
        let count = self.read_at(cx, dst, offset)?;
        self.offset.store(offset.saturating_add(count as u64), Ordering::Relaxed);
        Ok(count)
    }

    /// pread(2): at `offset`; the position stays.
    ///
    /// # Errors
    ///
    /// As pread(2).
    pub fn read_at(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, offset: u64) -> Result<usize, Errno> {
        if !self.readable() {
            return Err(Errno::EBADF);
        }
        let mut patience = Patience::default();
        loop {
            match self.file.read(cx, dst, offset) {
                Err(Errno::EAGAIN) if !self.is_nonblocking() => {
                    self.wait_by(cx, false, patience.deadline_ns(cx, &*self.file, false))?;
                }
                result => return result,
            }
        }
    }

    /// write(2): at the position, which moves, or at the end with `O_APPEND`.
    ///
    /// # Errors
    ///
    /// As write(2); `ERESTARTSYS` when interrupted.
    pub fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<usize, Errno> {
        if !self.file.seekable() {
            return self.write_stream(cx, src);
        }
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        let _position = self.position.lock(cx.fiber);
        if self.flags() & O_APPEND != 0 {
            let (count, end) = self.file.append(cx, src)?;
            self.offset.store(end, Ordering::Relaxed);
            return Ok(count);
        }
        let offset = self.offset.load(Ordering::Relaxed);
        let count = self.file.write(cx, src, offset)?;
        self.offset.store(offset.saturating_add(count as u64), Ordering::Relaxed);
        Ok(count)
    }

    /// pwrite(2): at `offset` (at the end with `O_APPEND`, as Linux does); the position stays.
    ///
    /// # Errors
    ///
    /// As pwrite(2).
    pub fn write_at(&self, cx: &Ctx<'_>, src: &mut dyn Src, offset: u64) -> Result<usize, Errno> {
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        if !self.file.seekable() {
            return Err(Errno::ESPIPE);
        }
        if self.flags() & O_APPEND != 0 {
            return self.file.append(cx, src).map(|(count, _)| count);
        }
        self.file.write(cx, src, offset)
    }

    fn write_stream(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<usize, Errno> {
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        let mut done = 0;
        let mut patience = Patience::default();
        loop {
            let result = match self.file.write(cx, src, 0) {
                Ok(count) => {
                    done += count;
                    if src.remaining() == 0 || self.is_nonblocking() || count == 0 {
                        return Ok(done);
                    }
                    continue;
                }
                Err(Errno::EAGAIN) if !self.is_nonblocking() => {
                    self.wait_by(cx, true, patience.deadline_ns(cx, &*self.file, true))
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the file may be read (or written).
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when interrupted.
    pub fn wait(&self, cx: &Ctx<'_>, writing: bool) -> Result<(), Errno> {
        self.wait_by(cx, writing, None)
    }

    fn wait_by(&self, cx: &Ctx<'_>, writing: bool, deadline_ns: Option<u64>) -> Result<(), Errno> {
        let Some(queue) = self.file.wait_queue() else { return Err(Errno::EAGAIN) };
        let events = POLLERR
            | POLLHUP
            | if writing {
                POLLOUT | POLLWRNORM
            } else {
                POLLIN | POLLRDNORM | abi::fs::poll::POLLRDHUP
            };
        let ready = || (self.file.poll() & events != 0).then_some(());
        match sched::wait_until(cx.fiber, &[queue], events, deadline_ns, ready) {
            Ok(()) => Ok(()),
            Err(Wake::TimedOut) => Err(Errno::EAGAIN),
            // The sandbox stands still for a checkpoint: no signal, so the call is made again.
            Err(Wake::Stopping) => Err(Errno::ERESTARTNOINTR),
            Err(_) if deadline_ns.is_some() => Err(Errno::EINTR),
            Err(_) => Err(Errno::ERESTARTSYS),
        }
    }

    /// lseek(2). `whence`: 0 set, 1 current, 2 end, 3 data, 4 hole.
    ///
    /// # Errors
    ///
    /// `ESPIPE` for a stream, `EINVAL` for a bad whence or a negative result.
    pub fn seek(&self, cx: &Ctx<'_>, offset: i64, whence: u32) -> Result<u64, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if !self.file.seekable() {
            return Err(Errno::ESPIPE);
        }
        let _position = self.position.lock(cx.fiber);
        let base = match whence {
            0 => 0,
            1 => self.offset.load(Ordering::Relaxed),
            2 => self.file.size(cx)?,
            3 | 4 => {
                let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let found = self.file.seek_data(cx, from, whence == 4)?;
                self.offset.store(found, Ordering::Relaxed);
                return Ok(found);
            }
            _ => return Err(Errno::EINVAL),
        };
        let target = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
        if i64::try_from(target).is_err() {
            return Err(Errno::EOVERFLOW);
        }
        self.offset.store(target, Ordering::Relaxed);
        Ok(target)
    }

    /// getdents64(2): lists entries from the position.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` if it is no directory.
    pub fn read_dir(&self, cx: &Ctx<'_>, sink: &mut dyn DirSink) -> Result<(), Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        let _position = self.position.lock(cx.fiber);
        let cursor = self.offset.load(Ordering::Relaxed);
        let next = self.file.read_dir(cx, cursor, sink)?;
        self.offset.store(next, Ordering::Relaxed);
        Ok(())
    }

    /// The present position.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }
}

/// The deadline of one call, asked for when it first has to wait.
#[derive(Default)]
struct Patience(Option<Option<u64>>);

impl Patience {
    fn deadline_ns(&mut self, cx: &Ctx<'_>, file: &dyn File, writing: bool) -> Option<u64> {
        *self.0.get_or_insert_with(|| file.deadline_ns(cx, writing))
    }
}
