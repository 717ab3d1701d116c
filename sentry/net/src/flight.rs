//! Descriptors in flight (`SCM_RIGHTS`, unix(7)).
//!
//! A descriptor in flight is a user of its open file. A socket that is only in flight to itself,
//! or to others that are only in flight to one another, can never be received: [`Flight::collect`]
//! finds those. It runs when a Unix socket is closed while Unix sockets are in flight.

use std::{collections::BTreeMap, sync::Arc};

use abi::Errno;
use sched::{Mutex, MutexGuard};
use vfs::{Ctx, OpenFile};

use crate::Socket;

/// Most descriptors in flight in a sandbox. It bounds what a collection looks at.
const FLIGHT_MAX: usize = 16_384;

/// All descriptors in flight.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    state: Mutex<InFlight>,
    ditch: Mutex<Ditch>,
}

/// The books. Whoever puts descriptors into an inbox or takes them out holds the lock meanwhile,
/// so that a collection sees both as they belong together.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    count: usize,
    /// Unix sockets among them, by number.
    sockets: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    file: Arc<OpenFile>,
    times: usize,
}

/// Descriptors that nobody will receive, waiting to be closed one after the other: closing one
/// can bring further ones, and must not recurse.
#[derive(Debug, Default)]
struct Ditch {
    files: Vec<Arc<OpenFile>>,
    busy: bool,
}

fn unix_socket(file: &OpenFile) -> Option<&Socket> {
    file.downcast::<Socket>().filter(|socket| socket.transport().is_unix())
}

impl InFlight {
    /// `files` take off. Each gets one more user.
    ///
    /// # Errors
    ///
    /// `ETOOMANYREFS` if there are too many.
    pub(crate) fn take_off(&mut self, files: &[Arc<OpenFile>]) -> Result<(), Errno> {
        if self.count + files.len() > FLIGHT_MAX {
            return Err(Errno::ETOOMANYREFS);
        }
        self.count += files.len();
        for file in files {
            file.add_user();
            if let Some(socket) = unix_socket(file) {
                let new = || Entry { file: Arc::clone(file), times: 0 };
                self.sockets.entry(socket.ino()).or_insert_with(new).times += 1;
            }
        }
        Ok(())
    }

    /// `files` have landed: their users are the caller's now.
    pub(crate) fn land(&mut self, files: &[Arc<OpenFile>]) {
        self.count = self.count.saturating_sub(files.len());
        for socket in files.iter().filter_map(|file| unix_socket(file)) {
            let Some(entry) = self.sockets.get_mut(&socket.ino()) else { continue };
            entry.times -= 1;
            if entry.times == 0 {
                self.sockets.remove(&socket.ino());
            }
        }
    }

    /// Numbers of sockets that nobody can ever receive.
    fn lost(&self) -> Vec<u64> {
        // Those without a descriptor in any table.
        let mut suspects: BTreeMap<u64, &Entry> = self
            .sockets
            .iter()
            .filter(|(_, entry)| entry.file.users() == entry.times)
            .map(|(ino, entry)| (*ino, entry))
            .collect();
        // One that is in flight to a socket that is no suspect can be received, and so can what
        // is in flight to it.
        loop {
            let mut held: BTreeMap<u64, usize> = BTreeMap::new();
            for socket in suspects.values().filter_map(|entry| unix_socket(&entry.file)) {
                socket.transport().visit_rights(&mut |file| {
                    if let Some(inner) = unix_socket(file) {
                        *held.entry(inner.ino()).or_insert(0) += 1;
                    }
                });
            }
            let before = suspects.len();
            suspects.retain(|ino, entry| held.get(ino).is_some_and(|count| *count == entry.times));
            if suspects.len() == before {
                return suspects.into_keys().collect();
            }
        }
    }
}

impl Flight {
    /// Opens the books.
    pub(crate) fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.state.lock()
    }

    /// Closes descriptors that landed and that nobody wants. Never nests.
    pub(crate) fn discard(&self, cx: &Ctx<'_>, files: Vec<Arc<OpenFile>>) {
        if files.is_empty() {
            return;
        }
        {
            let mut ditch = self.ditch.lock();
            ditch.files.extend(files);
            if std::mem::replace(&mut ditch.busy, true) {
                return;
            }
        }
        while let Some(file) = self.next_to_close() {
            file.remove_user(cx);
        }
    }

    fn next_to_close(&self) -> Option<Arc<OpenFile>> {
        let mut ditch = self.ditch.lock();
        let next = ditch.files.pop();
        ditch.busy = next.is_some();
        next
    }

    /// Descriptors taken out of an inbox that is going away.
    pub(crate) fn crash(&self, cx: &Ctx<'_>, files: Vec<Arc<OpenFile>>) {
        if !files.is_empty() {
            self.state.lock().land(&files);
            self.discard(cx, files);
        }
    }

    /// Closes what is in flight and can never be received.
    pub(crate) fn collect(&self, cx: &Ctx<'_>) {
        let mut files = Vec::new();
        {
            let mut state = self.state.lock();
            if state.sockets.is_empty() {
                return;
            }
            for ino in state.lost() {
                let socket = state.sockets.get(&ino).map(|entry| Arc::clone(&entry.file));
                if let Some(socket) = socket.as_deref().and_then(unix_socket) {
                    let rights = socket.transport().take_rights();
                    state.land(&rights);
                    files.extend(rights);
                }
            }
        }
        self.discard(cx, files);
    }

    /// How many descriptors are in flight.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state.lock().count
    }
}
