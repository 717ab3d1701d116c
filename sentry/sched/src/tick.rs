//! The end of a time slice: a one-shot kick, armed only while something else wants to run.

use std::sync::{
    Weak,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::{Fire, Timers};

const NEVER: u64 = u64::MAX;

/// When the executor wants to be kicked. Wanting is two atomic operations; a timer is armed only
/// if none that comes in time is.
#[derive(Debug)]
pub(crate) struct Tick {
    /// `NEVER`: it does not want to be.
    wanted_ns: AtomicU64,
    /// The earliest timer that is armed; `NEVER`: none.
    armed_ns: AtomicU64,
}

impl Default for Tick {
    fn default() -> Self {
        Self { wanted_ns: AtomicU64::new(NEVER), armed_ns: AtomicU64::new(NEVER) }
    }
}

impl Tick {
    /// Wants a tick at `deadline_ns`, in place of the one wanted before. `target` leads to
    /// [`Tick::ring`].
    pub(crate) fn want(&self, deadline_ns: u64, timers: &Timers, target: &Weak<dyn Fire>) {
        self.wanted_ns.store(deadline_ns, SeqCst);
        self.arm(deadline_ns, timers, target);
    }

    /// Wants none any more.
    pub(crate) fn forget(&self) {
        // Spares the others the write in the usual case.
        if self.is_wanted() {
            self.wanted_ns.store(NEVER, SeqCst);
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted_ns.load(SeqCst) != NEVER
    }

    /// A timer has fired: true if the tick is due. Otherwise arms what is still wanted.
    pub(crate) fn ring(&self, now_ns: u64, timers: &Timers, target: &Weak<dyn Fire>) -> bool {
        // First this, then the look at what is wanted: `want` does it the other way round, so one
        // of the two arms the timer.
        self.armed_ns.store(NEVER, SeqCst);
        let wanted = self.wanted_ns.load(SeqCst);
        if wanted == NEVER {
            return false;
        }
        if wanted > now_ns {
            self.arm(wanted, timers, target);
        }
        wanted <= now_ns
    }

    fn arm(&self, deadline_ns: u64, timers: &Timers, target: &Weak<dyn Fire>) {
        if self.armed_ns.fetch_min(deadline_ns, SeqCst) > deadline_ns {
            timers.arm(deadline_ns, Weak::clone(target));
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::{Arc, Mutex};

    use host::Reactor;

    use super::*;

    /// Leads to the tick, as an executor does.
    struct Owner {
        tick: Tick,
        timers: Timers,
        itself: Weak<dyn Fire>,
        due: Mutex<Vec<u64>>,
    }

    impl Fire for Owner {
        fn fire(&self, now_ns: u64) {
            if self.tick.ring(now_ns, &self.timers, &self.itself) {
                self.due.lock().unwrap().push(now_ns);
            }
        }
    }

    fn owner() -> Arc<Owner> {
        Arc::new_cyclic(|itself: &Weak<Owner>| Owner {
            tick: Tick::default(),
            timers: Timers::new(Arc::new(Reactor::new().unwrap())),
            itself: Weak::<Owner>::clone(itself),
            due: Mutex::default(),
        })
    }

    #[test]
    fn one_that_is_put_off_comes_once_and_later() {
        let owner = owner();
        owner.tick.want(10, &owner.timers, &owner.itself);
        owner.tick.forget();
        owner.tick.want(25, &owner.timers, &owner.itself);
        for now in [9, 10, 24, 25, 26] {
            owner.timers.fire_due(now);
        }
        owner.tick.forget();
        owner.timers.fire_due(100);
        assert_eq!(*owner.due.lock().unwrap(), [25]);
    }

    #[test]
    fn an_earlier_one_is_not_held_up_by_a_later_one() {
        let owner = owner();
        owner.tick.want(40, &owner.timers, &owner.itself);
        owner.tick.want(20, &owner.timers, &owner.itself);
        owner.timers.fire_due(20);
        assert_eq!(*owner.due.lock().unwrap(), [20]);
    }

    #[test]
    fn one_that_is_forgotten_does_not_come() {
        let owner = owner();
        owner.tick.want(10, &owner.timers, &owner.itself);
        owner.tick.forget();
        owner.timers.fire_due(10);
        assert!(!owner.tick.is_wanted());
        assert!(owner.due.lock().unwrap().is_empty());
    }
}
