//! The host thread of an executor: takes what is ready, runs it, sleeps when nothing is.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use corosensei::{Coroutine, CoroutineResult};
use host::Stack;

use crate::{Entity, Fiber, Leave, Sched, executor::Executor, queue::Item};

/// Stacks that an executor keeps for itself, pages and all.
const HOT_STACKS: usize = 4;

/// Why a fiber is suspended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pause {
    /// Until somebody queues it.
    Blocked,
    /// Until its turn comes again.
    Yielded,
}

type Coro = Coroutine<(), Pause, Leave, Stack>;

/// A fiber and what it runs.
struct Slot {
    entity: Arc<Entity>,
    coroutine: Coro,
}

/// What the fibers of one executor share. Never leaves its host thread.
pub(crate) struct Local {
    pub(crate) sched: Arc<Sched>,
    pub(crate) executor: Arc<Executor>,
    /// The time when last looked at.
    pub(crate) now_ns: Cell<u64>,
    /// Up to when CPU time has been charged.
    pub(crate) charged_ns: Cell<u64>,
    /// Since when the present fiber runs.
    pub(crate) slice_ns: Cell<u64>,
    /// Where the present entity goes when it leaves.
    pub(crate) move_to: Cell<Option<usize>>,
}

impl Local {
    pub(crate) fn look_at_clock(&self) -> u64 {
        let now = self.sched.now_ns();
        self.now_ns.set(now);
        now
    }

    /// Charges `entity` for its time in the Sentry so far; returns the time.
    pub(crate) fn charge(&self, entity: &Entity) -> u64 {
        let now = self.look_at_clock();
        entity.times.charge_system(now.saturating_sub(self.charged_ns.replace(now)));
        now
    }
}

/// The executor's host thread.
pub(crate) struct Runner {
    local: Rc<Local>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hot: Vec<Stack>,
}

impl Runner {
    pub(crate) fn new(sched: Arc<Sched>, executor: Arc<Executor>) -> Self {
        let local = Local {
            sched,
            executor,
            now_ns: Cell::new(0),
            charged_ns: Cell::new(0),
            slice_ns: Cell::new(0),
            move_to: Cell::new(None),
        };
        Self { local: Rc::new(local), slots: Vec::new(), free: Vec::new(), hot: Vec::new() }
    }

    /// Runs for ever.
    pub(crate) fn run(&mut self) -> ! {
        let _guard = AbortOnUnwind;
        self.local.look_at_clock();
        loop {
            match self.next() {
                Some(Item::Resume(slot)) => self.resume(slot),
                Some(Item::Fresh { entity, .. }) => self.begin(entity),
                None => {}
            }
        }
    }

    /// What to run next; `None` after a rest.
    fn next(&self) -> Option<Item> {
        let local = &self.local;
        local.executor.queue.pop().or_else(|| self.steal()).or_else(|| {
            let found = local.executor.rest(|| local.executor.queue.pop().or_else(|| self.steal()));
            local.look_at_clock();
            found
        })
    }

    /// Takes an entity that waits at another executor.
    fn steal(&self) -> Option<Item> {
        let number = self.local.executor.number;
        let entity = self.local.sched.steal(number)?;
        entity.home.store(number, SeqCst);
        Some(Item::Fresh { entity, sticky: false })
    }

    /// Gives an entity a stack and runs it, unless all are to be at rest.
    fn begin(&mut self, entity: Arc<Entity>) {
        let sched = Arc::clone(&self.local.sched);
        if !sched.stops.enter() {
            return sched.stops.halt(entity, |entity| self.keep(entity));
        }
        let body = entity.body.lock().clone();
        let (Some(body), Some(stack)) = (body, self.stack()) else {
            // No memory for a stack: somebody may give one back.
            sched.stops.leave();
            host::thread::yield_now();
            return self.keep(entity);
        };
        let (local, running) = (Rc::clone(&self.local), Arc::clone(&entity));
        let coroutine = Coro::with_stack(stack, move |yielder, ()| {
            body.run(&Fiber::new(yielder, &running, &local))
        });
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        entity.slot.store(slot, SeqCst);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Slot { entity, coroutine });
        }
        self.resume(slot);
    }

    fn keep(&self, entity: Arc<Entity>) {
        self.local.executor.queue.push(Item::Fresh { entity, sticky: false });
    }

    fn stack(&mut self) -> Option<Stack> {
        self.hot.pop().or_else(|| {
            let stack = self.local.sched.stacks.take();
            stack.inspect_err(|error| tracing::error!(%error, "no memory for a fiber")).ok()
        })
    }

    /// Runs a fiber until it waits, yields or returns.
    fn resume(&mut self, slot: usize) {
        let Some(Some(Slot { entity, coroutine })) = self.slots.get_mut(slot) else {
            debug_assert!(false, "no fiber in slot {slot}");
            return;
        };
        let local = &self.local;
        entity.word.run();
        local.slice_ns.set(local.now_ns.get());
        local.charged_ns.set(local.now_ns.get());
        local.move_to.set(None);
        match coroutine.resume(()) {
            CoroutineResult::Yield(Pause::Blocked) => {}
            CoroutineResult::Yield(Pause::Yielded) => local.executor.queue.push(Item::Resume(slot)),
            CoroutineResult::Return(leave) => self.finish(slot, leave),
        }
    }

    /// A body has returned: its stack is free.
    fn finish(&mut self, slot: usize, leave: Leave) {
        let Some(Slot { entity, coroutine }) = self.slots.get_mut(slot).and_then(Option::take)
        else {
            return;
        };
        self.free.push(slot);
        self.store_stack(coroutine.into_stack());
        self.local.charge(&entity);
        match leave {
            Leave::Requeue => {
                entity.word.requeue();
                self.hand_over(entity);
            }
            Leave::Exit => {
                entity.word.end();
                self.local.sched.forget(entity.id);
                let body = entity.body.lock().take();
                drop(body);
            }
        }
        self.local.sched.stops.leave();
    }

    fn store_stack(&mut self, stack: Stack) {
        if self.hot.len() < HOT_STACKS {
            self.hot.push(stack);
        } else {
            self.local.sched.stacks.give_back(stack);
        }
    }

    /// Queues an entity without a stack: where it wants to go, at an idle executor if others wait
    /// here, or here.
    fn hand_over(&self, entity: Arc<Entity>) {
        let local = &self.local;
        if let Some(target) = local.move_to.take() {
            entity.home.store(target, SeqCst);
            return local.sched.enqueue(target, Item::Fresh { entity, sticky: true });
        }
        if !local.executor.queue.is_empty()
            && let Some(idle) = local.sched.claim_idle()
        {
            entity.home.store(idle.number, SeqCst);
            return idle.send_claimed(Item::Fresh { entity, sticky: false });
        }
        self.keep(entity);
    }
}

/// A panic that leaves a fiber or a host thread ends the process: everybody else's state may
/// depend on what it was doing. (In release builds a panic aborts at once.)
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
