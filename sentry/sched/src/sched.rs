//! The scheduler as a whole.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
};

use host::{Reactor, StackPool};

use crate::{
    Body, Entity, Mutex, Timers, Workers,
    executor::Executor,
    queue::Item,
    run::{AbortOnUnwind, Runner},
    stop::Stops,
};

/// Brings an executor out of application code (`Platform::kick`).
pub trait Kicker: Send + Sync {
    /// Ends the present stay of `executor` in application code, or the next one if there is none
    /// now. Never waits.
    fn kick(&self, executor: usize);
}

/// All executors, and what they share.
pub struct Sched {
    executors: Vec<Arc<Executor>>,
    idle_count: Arc<AtomicUsize>,
    timers: Arc<Timers>,
    reactor: Arc<Reactor>,
    workers: Workers,
    pub(crate) stacks: StackPool,
    pub(crate) stops: Stops,
    registry: Mutex<Registry>,
}

/// All entities that have not ended.
#[derive(Default)]
struct Registry {
    last: u64,
    entities: BTreeMap<u64, Weak<Entity>>,
}

impl Sched {
    /// Makes a scheduler with that many executors (at least one); none runs yet.
    ///
    /// # Panics
    ///
    /// When the host refuses an epoll set or a timer.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "each executor gets a share of it")]
    pub fn new(executors: usize, kicker: Arc<dyn Kicker>) -> Arc<Self> {
        let reactor = Reactor::new().unwrap_or_else(|error| unreachable!("epoll: {error}"));
        let reactor = Arc::new(reactor);
        let timers = Arc::new(Timers::new(Arc::clone(&reactor)));
        let idle_count = Arc::default();
        let executors = (0..executors.max(1))
            .map(|number| Executor::new(number, &kicker, &timers, &idle_count))
            .collect();
        Arc::new(Self {
            executors,
            idle_count,
            timers,
            reactor,
            workers: Workers::default(),
            stacks: StackPool::new(),
            stops: Stops::default(),
            registry: Mutex::default(),
        })
    }

    /// Starts the host threads: executors, I/O thread, workers. No host thread is made later.
    ///
    /// # Panics
    ///
    /// When the host refuses a thread.
    pub fn run(self: &Arc<Self>) {
        self.run_on(&[], |_| {});
    }

    /// Like `run`; executor N is pinned to CPU `cpus[N]` of the host (none: not pinned), and
    /// calls `started(N)` on its own thread before anything else. Returns when all have.
    ///
    /// # Panics
    ///
    /// When the host refuses a thread.
    pub fn run_on(
        self: &Arc<Self>,
        cpus: &[usize],
        started: impl Fn(usize) + Send + Sync + 'static,
    ) {
        let started = Arc::new(started);
        let (ready, all_ready) = mpsc::channel();
        for executor in &self.executors {
            let (sched, executor) = (Arc::clone(self), Arc::clone(executor));
            let (started, ready) = (Arc::clone(&started), ready.clone());
            let number = executor.number;
            let cpu = cpus.get(number).copied();
            spawn(&format!("executor-{number}"), move || {
                host::thread::become_executor(number);
                if let Some(Err(error)) = cpu.map(host::thread::pin_to_cpu) {
                    tracing::warn!(number, cpu, %error, "an executor could not be pinned");
                }
                started(number);
                let _ = ready.send(());
                Runner::new(sched, executor).run()
            });
        }
        let sched = Arc::clone(self);
        spawn("io", move || sched.serve_io());
        for number in 0..Workers::COUNT {
            let sched = Arc::clone(self);
            spawn(&format!("worker-{number}"), move || sched.workers.work());
        }
        drop(ready);
        // Ends with an error when all threads are there or dead.
        for () in all_ready.iter().take(self.executors.len()) {}
    }

    /// Makes an entity; it does not run before `start`.
    #[must_use]
    pub fn spawn(self: &Arc<Self>, body: Arc<dyn Body>) -> Arc<Entity> {
        let mut registry = self.registry.lock();
        registry.last += 1;
        let id = registry.last;
        let entity = Arc::new(Entity::new(id, Arc::clone(self), body));
        registry.entities.insert(id, Arc::downgrade(&entity));
        // Under the lock: `stop` sees either this entity, or was seen here.
        if self.stops.is_stopping() {
            let _ = entity.word.stop();
        }
        entity
    }

    /// Lets a spawned entity run, on an idle executor if there is one, else on the caller's.
    pub fn start(&self, entity: &Arc<Entity>) {
        if entity.word.start() {
            self.place(Arc::clone(entity));
        }
    }

    /// Gives up an entity that was spawned, but not started: it lets go of its body.
    pub fn discard(&self, entity: &Arc<Entity>) {
        if entity.word.discard() {
            let body = entity.body.lock().take();
            drop(body);
        }
    }

    /// How many executors there are.
    #[must_use]
    pub fn executors(&self) -> usize {
        self.executors.len()
    }

    /// The timers.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// What the I/O thread watches: host file descriptors, with somebody to tell.
    #[must_use]
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// The worker threads.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Now, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        host::clock::monotonic_ns()
    }

    /// All entities that have not ended.
    pub(crate) fn entities(&self) -> Vec<Arc<Entity>> {
        // Collected, since dropping the last reference to one takes the lock again.
        self.registry.lock().entities.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn forget(&self, id: u64) {
        self.registry.lock().entities.remove(&id);
    }

    pub(crate) fn enqueue(&self, executor: usize, item: Item) {
        if let Some(executor) = self.executors.get(executor) {
            executor.send(item);
        }
    }

    pub(crate) fn kick(&self, executor: usize) {
        if let Some(executor) = self.executors.get(executor) {
            executor.kick();
        }
    }

    pub(crate) fn has_empty_queue(&self, executor: usize) -> bool {
        self.executors.get(executor).is_some_and(|executor| executor.queue.is_empty())
    }

    /// Queues an entity without a stack at the best executor.
    pub(crate) fn place(&self, entity: Arc<Entity>) {
        if let Some(idle) = self.claim_idle() {
            entity.home.store(idle.number, SeqCst);
            return idle.send_claimed(Item::Fresh { entity, sticky: false });
        }
        let here = host::thread::executor().and_then(|number| self.executors.get(number));
        let shortest = || self.executors.iter().min_by_key(|executor| executor.queue.len());
        if let Some(executor) = here.or_else(shortest) {
            entity.home.store(executor.number, SeqCst);
            executor.send(Item::Fresh { entity, sticky: false });
        }
    }

    /// Reserves an idle executor.
    pub(crate) fn claim_idle(&self) -> Option<&Executor> {
        if self.idle_count.load(Relaxed) == 0 {
            return None;
        }
        self.executors.iter().find(|executor| executor.claim()).map(|executor| &**executor)
    }

    /// Takes an entity away from another executor than `thief`, beginning with the next one.
    pub(crate) fn steal(&self, thief: usize) -> Option<Arc<Entity>> {
        let others = self.executors.iter().cycle().skip(thief + 1);
        others.take(self.executors.len().saturating_sub(1)).find_map(|victim| victim.queue.steal())
    }

    fn serve_io(&self) -> ! {
        let _guard = AbortOnUnwind;
        loop {
            self.reactor.turn();
            self.timers.fire_due(self.now_ns());
        }
    }
}

fn spawn(name: &str, main: impl FnOnce() + Send + 'static) {
    if let Err(error) = host::thread::spawn(name, main) {
        unreachable!("host thread {name}: {error}");
    }
}

impl fmt::Debug for Sched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sched")
            .field("executors", &self.executors)
            .field("timers", &self.timers)
            .field("stops", &self.stops)
            .finish_non_exhaustive()
    }
}
