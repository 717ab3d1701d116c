//! Files that are open at the Gofer, or by a descriptor it gave us.

use std::sync::{Arc, Weak};

use abi::Errno;
use host::HostFile;
use p9::OpenFlags;
use sched::{Fiber, Mutex};

use super::{
    client::{Client, Opened},
    inode::Node,
    mapping::Mapped,
};

/// A file that is open.
#[derive(Debug)]
pub(crate) struct Handle {
    client: Arc<Client>,
    opened: Opened,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// What mmap(2) maps; the same for all, as long as anybody maps it.
    pub(super) mapped: Mutex<Weak<Mapped>>,
    /// Whose.
    node: Mutex<Weak<Node>>,
}

/// Ways in which an inode is open, shared by all who have it open.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct Handles {
    /// For reading alone.
    read: Option<Arc<Handle>>,
    /// For writing, and for reading too if the host allows.
    pub(super) write: Option<Arc<Handle>>,
    /// Open files.
    users: usize,
    /// They stay open when the last user goes.
    keep: bool,
}

impl Handle {
    pub(super) fn from_parts(
        client: Arc<Client>,
        opened: Opened,
        (reads, writes): (bool, bool),
    ) -> Self {
        let (mapped, node) = (Mutex::default(), Mutex::default());
        Self { client, opened, reads, writes, mapped, node }
    }

    pub(super) fn node(&self) -> &Mutex<Weak<Node>> {
        &self.node
    }

    /// The donated file.
    pub(super) fn file(&self) -> Option<&Arc<HostFile>> {
        self.opened.file.as_ref()
    }

    /// Reads all of `to`, but for the end of the file.
    pub(super) fn read_at(
        &self,
        fiber: &Fiber<'_>,
        offset: u64,
        to: &mut [u8],
    ) -> Result<usize, Errno> {
        let Some(file) = self.file() else {
            return self.client.read(fiber, self.opened.fid, offset, to);
        };
        let mut done = 0;
        while done < to.len() {
            let at = offset.saturating_add(done as u64);
            let room = to.get_mut(done..).unwrap_or_default();
            let wanted = room.len();
            let step = match file.read_cached(room, at) {
                Err(Errno::EAGAIN) => read_from_disk(fiber, file, at, room),
                Err(Errno::EOPNOTSUPP) => file.read_at(room, at),
                step => step,
            };
            match step {
                Ok(0) => break,
                Ok(count) => done += count.min(wanted),
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    pub(super) fn write_at(
        &self,
        fiber: &Fiber<'_>,
        offset: u64,
        from: &[u8],
    ) -> Result<usize, Errno> {
        match self.file() {
            Some(file) => file.write_at(from, offset),
            None => self.client.write(fiber, self.opened.fid, offset, from),
        }
    }

    pub(super) fn sync(&self, fiber: &Fiber<'_>, data_only: bool) -> Result<(), Errno> {
        match self.file().cloned() {
            Some(file) => fiber.offload(move || file.sync(data_only)),
            None => {
                let ask = p9::Tfsync { fid: self.opened.fid, datasync: u32::from(data_only) };
                self.client.call(fiber, ask).map(drop)
            }
        }
    }
}

/// Reads what the host has to fetch, on a thread that may wait.
fn read_from_disk(
    fiber: &Fiber<'_>,
    file: &Arc<HostFile>,
    offset: u64,
    to: &mut [u8],
) -> Result<usize, Errno> {
    let (file, len) = (Arc::clone(file), to.len());
    let (result, bytes) = fiber.offload(move || {
        let mut bytes = vec![0; len];
        (file.read_at(&mut bytes, offset), bytes)
    });
    to.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
    result
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.client.forget(self.opened.fid, true);
    }
}

impl Node {
    /// A donated file, if it is open.
    pub(super) fn donated(&self) -> Option<Arc<HostFile>> {
        let handles = self.handles.lock();
        let handle = handles.write.as_ref().or(handles.read.as_ref())?;
        handle.file().cloned()
    }

    /// Opens the file for one more user.
    pub(super) fn acquire(
        self: &Arc<Self>,
        fiber: &Fiber<'_>,
        reads: bool,
        writes: bool,
    ) -> Result<Arc<Handle>, Errno> {
        let open = {
            let mut handles = self.handles.lock();
            handles.users += 1;
            let write = handles.write.clone().filter(|handle| handle.reads || !reads);
            if writes { write } else { write.or_else(|| handles.read.clone()) }
        };
        let opened = match open {
            Some(handle) => Ok(handle),
            None => self.open_handle(fiber, reads, writes),
        };
        opened.inspect_err(|_| self.release())
    }

    fn open_handle(
        self: &Arc<Self>,
        fiber: &Fiber<'_>,
        reads: bool,
        writes: bool,
    ) -> Result<Arc<Handle>, Errno> {
        let (client, fid) = (&self.tree.client, self.fid(fiber)?);
        if !writes {
            let opened = client.open(fiber, fid, OpenFlags::empty())?;
            return Ok(self.keep_open(opened, true, false));
        }
        match client.open(fiber, fid, OpenFlags::RDWR) {
            Err(Errno::EACCES) if !reads => {
                let opened = client.open(fiber, fid, OpenFlags::WRONLY)?;
                Ok(self.keep_open(opened, false, true))
            }
            opened => Ok(self.keep_open(opened?, true, true)),
        }
    }

    /// Remembers an open file for the next user.
    pub(super) fn keep_open(
        self: &Arc<Self>,
        opened: Opened,
        reads: bool,
        writes: bool,
    ) -> Arc<Handle> {
        let client = Arc::clone(&self.tree.client);
        let mapped = Mutex::new(Weak::new());
        let node = Mutex::new(Arc::downgrade(self));
        let handle = Arc::new(Handle { client, opened, reads, writes, mapped, node });
        let keep = self.tree.is_exclusive();
        let old = {
            let mut handles = self.handles.lock();
            handles.keep = keep;
            let place = if writes { &mut handles.write } else { &mut handles.read };
            place.replace(Arc::clone(&handle))
        };
        drop(old);
        if keep {
            self.tree.opened(self);
        }
        handle
    }

    /// One user less.
    pub(super) fn release(&self) {
        let unused = {
            let mut handles = self.handles.lock();
            handles.users = handles.users.saturating_sub(1);
            handles.take_unused()
        };
        drop(unused);
    }

    /// Closes what nobody uses.
    pub(super) fn close_idle(&self) {
        let unused = {
            let mut handles = self.handles.lock();
            if handles.users > 0 {
                [None, None]
            } else {
                [handles.read.take(), handles.write.take()]
            }
        };
        drop(unused);
    }

    /// Nothing stays open after the last user.
    pub(super) fn close_when_idle(&self) {
        let unused = {
            let mut handles = self.handles.lock();
            handles.keep = false;
            handles.take_unused()
        };
        drop(unused);
    }
}

impl Handles {
    fn take_unused(&mut self) -> [Option<Arc<Handle>>; 2] {
        if self.keep || self.users > 0 {
            return [None, None];
        }
        [self.read.take(), self.write.take()]
    }
}
