//! Descriptors in flight (`SCM_RIGHTS`, unix(7)).
//!
//! A descriptor in flight is a user of its open file. A socket that is only in flight to itself,
//! or to others that are only in flight to one another, can never be received: [`Flight::collect`]
//! finds those. It runs after some descriptors of Unix sockets were closed while sockets are in
//! flight, and when there is no room for more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use abi::Errno;
use sched::{Mutex, MutexGuard};
use vfs::{Ctx, OpenFile};

use crate::Socket;

/// Most descriptors in flight in a sandbox. It bounds what a collection looks at.
const FLIGHT_MAX: usize = 16_384;

/// How many sockets in flight are looked at for one that is closed, on average.
const SOCKETS_PER_CLOSING: usize = 16;

/// All descriptors in flight.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct Flight {
    state: Mutex<InFlight>,
    ditch: Mutex<Ditch>,
}

/// The books. Whoever puts descriptors into an inbox or takes them out holds the lock meanwhile,
/// so that a collection sees both as they belong together.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct InFlight {
    count: usize,
    /// Descriptors of Unix sockets closed since the last collection.
    closings: usize,
    /// Unix sockets among them, by number.
    sockets: BTreeMap<u64, Entry>,
}

#[derive(Debug, state::Save, state::Load)]
struct Entry {
    file: Arc<OpenFile>,
    times: usize,
}

/// Descriptors that nobody will receive, waiting to be closed one after the other: closing one
/// can bring further ones, and must not recurse.
#[derive(Debug, Default, state::Save, state::Load)]
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
    fn lost(&self) -> BTreeSet<u64> {
        // Those without a descriptor in any table, and how often each is in flight to which.
        let suspects = self.sockets.iter().filter(|(_, one)| one.file.users() == one.times);
        let mut lost: BTreeSet<u64> = suspects.map(|(ino, _)| *ino).collect();
        let mut held: BTreeMap<u64, usize> = BTreeMap::new();
        for ino in &lost {
            self.visit(*ino, |inner| *held.entry(inner).or_insert(0) += 1);
        }
        // One that is in flight to another socket can be received, and so can what is in flight
        // to it.
        let elsewhere = |ino: &u64| {
            let times = self.sockets.get(ino).map_or(0, |entry| entry.times);
            held.get(ino).copied().unwrap_or(0) < times
        };
        let mut reachable: Vec<u64> = lost.iter().filter(|ino| elsewhere(ino)).copied().collect();
        while let Some(ino) = reachable.pop() {
            if lost.remove(&ino) {
                self.visit(ino, |inner| reachable.push(inner));
            }
        }
        lost
    }

    /// Calls `visit` for each Unix socket that is in flight to socket `ino`.
    fn visit(&self, ino: u64, mut visit: impl FnMut(u64)) {
        let file = self.sockets.get(&ino).map(|entry| &entry.file);
        let Some(socket) = file.and_then(|file| unix_socket(file)) else { return };
        socket.transport().visit_rights(&mut |file| {
            if let Some(inner) = unix_socket(file) {
                visit(inner.ino());
            }
        });
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

    /// A descriptor of a Unix socket was closed, perhaps the last one outside of inboxes. To look at
    /// all sockets each time would make closing many of them quadratic.
    pub(crate) fn closed(&self, cx: &Ctx<'_>) {
        let due = {
            let mut state = self.state.lock();
            state.closings += 1;
            !state.sockets.is_empty() && state.closings * SOCKETS_PER_CLOSING >= state.sockets.len()
        };
        if due {
            self.collect(cx);
        }
    }

    /// Closes what is in flight and can never be received.
    pub(crate) fn collect(&self, cx: &Ctx<'_>) {
        let mut files = Vec::new();
        {
            let mut state = self.state.lock();
            state.closings = 0;
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

    /// True if `more` may take off.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.state.lock().count + more <= FLIGHT_MAX
    }

    /// How many descriptors are in flight.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state.lock().count
    }
}
