//! The name of one Unix socket.

use std::sync::{Arc, Weak};

use abi::Errno;
use sched::Mutex;
use vfs::{Ctx, Inode, NewNode};

use super::names::{Key, inode_key};
use crate::{Address, Namespace, Transport, UnixName};

/// The name that a socket has, if any.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct Bound(Mutex<Option<Taken>>);

#[derive(Debug, state::Save, state::Load)]
struct Taken {
    name: UnixName,
    key: Key,
    /// Keeps the number from being given to another file, even if the name is removed.
    _inode: Option<Arc<dyn Inode>>,
}

impl Bound {
    /// The name.
    pub(super) fn name(&self) -> UnixName {
        self.0.lock().as_ref().map_or(UnixName::Unnamed, |taken| taken.name.clone())
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.lock().is_some()
    }

    /// bind(2).
    pub(super) fn bind(
        &self,
        cx: &Ctx<'_>,
        namespace: &Namespace,
        socket: &Weak<dyn Transport>,
        addr: &Address,
    ) -> Result<(), Errno> {
        let Address::Unix(name) = addr else { return Err(Errno::EINVAL) };
        if let UnixName::Unnamed = name {
            return self.bind_automatic(namespace, socket);
        }
        if self.is_some() {
            return Err(Errno::EINVAL);
        }
        let names = namespace.names();
        let taken = match name {
            UnixName::Path(path) => {
                let made = cx.make(cx.cwd, path, NewNode::Socket, 0o777);
                let place = made.map_err(|error| match error {
                    Errno::EEXIST => Errno::EADDRINUSE,
                    error => error,
                })?;
                let inode = Some(place.inode().clone());
                Taken { name: name.clone(), key: inode_key(cx, &place)?, _inode: inode }
            }
            UnixName::Abstract(bytes) => {
                Taken { name: name.clone(), key: Key::Abstract(bytes.clone()), _inode: None }
            }
            UnixName::Unnamed => return Err(Errno::EINVAL),
        };
        names.add(taken.key.clone(), Weak::clone(socket))?;
        self.keep(namespace, taken)
    }

    /// Gives it a name unless it has one (unix(7), autobind).
    pub(super) fn bind_automatic(
        &self,
        namespace: &Namespace,
        socket: &Weak<dyn Transport>,
    ) -> Result<(), Errno> {
        if self.is_some() {
            return Ok(());
        }
        let name = namespace.names().add_automatic(socket)?;
        let key = Key::Abstract(name.clone());
        match self.keep(namespace, Taken { name: UnixName::Abstract(name), key, _inode: None }) {
            // Somebody else did it at the same time.
            Err(Errno::EINVAL) => Ok(()),
            result => result,
        }
    }

    fn keep(&self, namespace: &Namespace, taken: Taken) -> Result<(), Errno> {
        let refused = {
            let mut bound = self.0.lock();
            if bound.is_none() {
                *bound = Some(taken);
                return Ok(());
            }
            taken
        };
        namespace.names().remove(&refused.key);
        Err(Errno::EINVAL)
    }

    /// Gives the name back. The file stays, as on Linux.
    pub(super) fn release(&self, namespace: &Namespace) {
        let taken = self.0.lock().take();
        if let Some(taken) = taken {
            namespace.names().remove(&taken.key);
        }
    }
}
