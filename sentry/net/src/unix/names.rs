//! Which names of Unix sockets are in use.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use abi::{Errno, fs::mode::S_IFSOCK};
use sched::Mutex;
use vfs::{Ctx, LookupFlags, Path};

use crate::{Transport, UnixName};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, state::Save, state::Load)]
pub(crate) enum Key {
    /// An inode: device and number.
    Inode(u64, u64),
    /// An abstract name.
    Abstract(Vec<u8>),
}

/// The names of a namespace.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct Names {
    sockets: Mutex<BTreeMap<Key, Weak<dyn Transport>>>,
    next_automatic: AtomicU32,
}

/// Permission to write, which connecting and sending to a path need.
const WRITE: u32 = 2;
/// Names that the kernel gives are five hexadecimal digits (unix(7), autobind).
const AUTOMATIC_MAX: u32 = 1 << 20;

impl Names {
    /// Gives `socket` a name.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`.
    pub(crate) fn add(&self, key: Key, socket: Weak<dyn Transport>) -> Result<(), Errno> {
        let mut sockets = self.sockets.lock();
        if sockets.get(&key).is_some_and(|old| old.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        sockets.insert(key, socket);
        Ok(())
    }

    /// Gives `socket` an abstract name that nobody has.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if all are taken.
    pub(crate) fn add_automatic(&self, socket: &Weak<dyn Transport>) -> Result<Vec<u8>, Errno> {
        for _ in 0..AUTOMATIC_MAX {
            let number = self.next_automatic.fetch_add(1, Ordering::Relaxed) % AUTOMATIC_MAX;
            let name = format!("{number:05x}").into_bytes();
            if self.add(Key::Abstract(name.clone()), Weak::clone(socket)).is_ok() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Takes a name back.
    pub(crate) fn remove(&self, key: &Key) {
        let removed = self.sockets.lock().remove(key);
        drop(removed);
    }

    /// The socket of that name, if the caller may send to it.
    ///
    /// # Errors
    ///
    /// `ECONNREFUSED` if nobody has the name, `EACCES`, those of a path walk.
    pub(crate) fn find(&self, cx: &Ctx<'_>, name: &UnixName) -> Result<Arc<dyn Transport>, Errno> {
        let key = match name {
            UnixName::Unnamed => return Err(Errno::EINVAL),
            UnixName::Abstract(name) => Key::Abstract(name.clone()),
            UnixName::Path(path) => {
                let place = cx.lookup(cx.cwd, path, LookupFlags::default())?;
                cx.access(&place, WRITE)?;
                inode_key(cx, &place)?
            }
        };
        let found = self.sockets.lock().get(&key).and_then(Weak::upgrade);
        found.ok_or(Errno::ECONNREFUSED)
    }

    /// The socket of that name and kind.
    ///
    /// # Errors
    ///
    /// As [`Names::find`]; `EPROTOTYPE` if it is of another type.
    pub(crate) fn find_kind<T: Transport>(
        &self,
        cx: &Ctx<'_>,
        name: &UnixName,
        kind: u32,
    ) -> Result<Arc<T>, Errno> {
        let found = self.find(cx, name)?;
        if found.options().kind != kind {
            return Err(Errno::EPROTOTYPE);
        }
        let found: Arc<dyn Any + Send + Sync> = found;
        found.downcast().map_err(|_| Errno::EPROTOTYPE)
    }
}

/// The key of a socket in the file system.
pub(crate) fn inode_key(cx: &Ctx<'_>, place: &Path) -> Result<Key, Errno> {
    let meta = place.inode().metadata(cx)?;
    if meta.kind() == S_IFSOCK {
        Ok(Key::Inode(meta.dev, meta.ino))
    } else {
        Err(Errno::ECONNREFUSED)
    }
}
