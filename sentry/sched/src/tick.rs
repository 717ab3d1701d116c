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
