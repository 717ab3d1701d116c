//! Bringing all entities to rest.

use std::sync::{
    Arc, Condvar, Mutex as HostMutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::{Entity, Mutex, Sched};

/// Who has a stack, who was kept from getting one, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    /// Nobody gets a stack. Changed only under `halted`.
    stopping: AtomicBool,
    /// Entities that have a stack, so are not at rest.
    active: AtomicUsize,
    halted: Mutex<Halted>,
    /// For the host threads that wait in `Sched::stop`; no executor sleeps here.
    gate: HostMutex<()>,
    at_rest: Condvar,
}

#[derive(Debug, Default)]
struct Halted {
    /// How many guards live.
    guards: usize,
    entities: Vec<Arc<Entity>>,
}

impl Stops {
    /// Counts an entity that gets a stack; false (and not counted) if all are to be at rest.
    pub(crate) fn enter(&self) -> bool {
        self.active.fetch_add(1, SeqCst);
        let go = !self.is_stopping();
        if !go {
            self.leave();
        }
        go
    }

    /// Counts one that has given its stack back.
    pub(crate) fn leave(&self) {
        if self.active.fetch_sub(1, SeqCst) == 1 && self.is_stopping() {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.at_rest.notify_all();
        }
    }

    /// Keeps an entity until all may go on; `resumed` if they may already.
    pub(crate) fn halt(&self, entity: Arc<Entity>, resumed: impl FnOnce(Arc<Entity>)) {
        let mut halted = self.halted.lock();
        if self.is_stopping() {
            halted.entities.push(entity);
        } else {
            drop(halted);
            resumed(entity);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    fn begin(&self) {
        let mut halted = self.halted.lock();
        halted.guards += 1;
        self.stopping.store(true, SeqCst);
    }

    fn wait(&self) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        while self.active.load(SeqCst) != 0 {
            gate = self.at_rest.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One guard less; the entities to run again if it was the last.
    fn end(&self) -> Option<Vec<Arc<Entity>>> {
        let mut halted = self.halted.lock();
        halted.guards = halted.guards.saturating_sub(1);
        if halted.guards > 0 {
            return None;
        }
        self.stopping.store(false, SeqCst);
        Some(std::mem::take(&mut halted.entities))
    }
}

impl Sched {
    /// Brings all entities to rest at the user boundary, and keeps them there as long as the
    /// guard lives: waits end with [`crate::Wake::Stopping`], application code is left, and nobody
    /// gets a stack. Only [`crate::Fiber::block_through`] is waited for. No timer fires meanwhile:
    /// what is due then fires afterwards.
    ///
    /// Not to be called by an entity, which would wait for itself.
    pub fn stop(self: &Arc<Self>) -> StopGuard {
        debug_assert!(host::thread::executor().is_none(), "stop() called by an entity");
        self.stops.begin();
        for entity in self.entities() {
            entity.stop();
        }
        self.stops.wait();
        self.timers().hold();
        StopGuard { sched: Arc::clone(self) }
    }
}

/// Keeps all entities at rest; dropping it lets them go on.
#[derive(Debug)]
#[must_use = "all go on when it is dropped"]
pub struct StopGuard {
    sched: Arc<Sched>,
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.sched.timers().release();
        let Some(halted) = self.sched.stops.end() else { return };
        for entity in self.sched.entities() {
            entity.word.clear_stop();
        }
        for entity in halted {
            self.sched.place(entity);
        }
    }
}
