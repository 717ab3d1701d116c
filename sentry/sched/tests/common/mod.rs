//! A platform for tests of the scheduler: "application code" is a loop that a kick ends.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use sched::{Body, Entity, Fiber, Kicker, Leave, Sched};

/// Longer than any test takes; what is not done by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Kicks that were sent, for each executor.
#[derive(Debug)]
pub(crate) struct Kicks {
    pending: Vec<AtomicBool>,
    pub(crate) sent: AtomicUsize,
}

impl Kicker for Kicks {
    fn kick(&self, executor: usize) {
        self.sent.fetch_add(1, SeqCst);
        self.pending[executor].store(true, SeqCst);
    }
}

impl Kicks {
    /// Runs "application code" until `done` or a kick; true if it was not the kick.
    pub(crate) fn user(&self, executor: usize, mut done: impl FnMut() -> bool) -> bool {
        loop {
            if self.pending[executor].swap(false, SeqCst) {
                return false;
            }
            if done() {
                return true;
            }
            std::thread::yield_now();
        }
    }
}

pub(crate) fn sched(executors: usize) -> (Arc<Sched>, Arc<Kicks>) {
    let pending = (0..executors).map(|_| AtomicBool::new(false)).collect();
    let kicks = Arc::new(Kicks { pending, sent: AtomicUsize::new(0) });
    let sched = Sched::new(executors, kicks.clone());
    sched.run();
    (sched, kicks)
}

struct Run<F>(F);

impl<F: Fn(&Fiber<'_>) -> Leave + Send + Sync> Body for Run<F> {
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave {
        (self.0)(fiber)
    }
}

/// Makes and starts an entity.
pub(crate) fn start(
    sched: &Arc<Sched>,
    run: impl Fn(&Fiber<'_>) -> Leave + Send + Sync + 'static,
) -> Arc<Entity> {
    let entity = spawn(sched, run);
    sched.start(&entity);
    entity
}

/// Makes an entity.
pub(crate) fn spawn(
    sched: &Arc<Sched>,
    run: impl Fn(&Fiber<'_>) -> Leave + Send + Sync + 'static,
) -> Arc<Entity> {
    sched.spawn(Arc::new(Run(run)))
}

/// Waits, on a host thread, until `done`.
pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "waited too long: {what}");
        std::thread::yield_now();
    }
}

/// Counts down; a host thread waits for zero.
#[derive(Clone, Debug)]
pub(crate) struct Latch(Arc<(Mutex<usize>, Condvar)>);

impl Latch {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new((Mutex::new(count), Condvar::new())))
    }

    pub(crate) fn done(&self) {
        *self.0.0.lock().expect("a latch") -= 1;
        self.0.1.notify_all();
    }

    #[track_caller]
    pub(crate) fn wait(&self) {
        let left = self.0.0.lock().expect("a latch");
        let (left, _) =
            self.0.1.wait_timeout_while(left, LIMIT, |left| *left > 0).expect("a latch");
        assert_eq!(*left, 0, "not done in time");
    }
}

/// Numbers that look random and are the same each time.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
