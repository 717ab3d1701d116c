//! Timers: one ordered set, served by the I/O thread.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex as HostMutex, PoisonError, Weak},
};

use host::Reactor;

use crate::Mutex;

/// What a timer does when its time has come. Runs on the I/O thread: it must be short.
pub trait Fire: Send + Sync {
    /// The deadline has passed; it is `now_ns` of `CLOCK_MONOTONIC`.
    fn fire(&self, now_ns: u64);
}

/// Names an armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    /// First, so that the order is by time.
    deadline_ns: u64,
    number: u64,
}

/// All armed timers.
pub struct Timers {
    set: Mutex<Set>,
    /// How many want that nothing fires; taken while something does.
    holds: HostMutex<usize>,
    reactor: Arc<Reactor>,
}

struct Set {
    armed: BTreeMap<TimerId, Weak<dyn Fire>>,
    last: u64,
    /// For when the I/O thread's alarm is set; `u64::MAX`: not set.
    alarm_ns: u64,
}

impl Timers {
    pub(crate) fn new(reactor: Arc<Reactor>) -> Self {
        let set = Set { armed: BTreeMap::new(), last: 0, alarm_ns: u64::MAX };
        Self { set: Mutex::new(set), holds: HostMutex::new(0), reactor }
    }

    /// Lets `target` fire once, at `deadline_ns` of `CLOCK_MONOTONIC` or soon after. Makes a host
    /// call only if no earlier one is armed.
    pub fn arm(&self, deadline_ns: u64, target: Weak<dyn Fire>) -> TimerId {
        let mut set = self.set.lock();
        set.last += 1;
        let id = TimerId { deadline_ns, number: set.last };
        set.armed.insert(id, target);
        if deadline_ns < set.alarm_ns {
            set.alarm_ns = deadline_ns;
            self.reactor.set_alarm(Some(deadline_ns));
        }
        id
    }

    /// Takes a timer back; true if it had not fired. It may be firing at this moment otherwise.
    pub fn cancel(&self, timer: TimerId) -> bool {
        // The alarm stays: at worst it rings for nothing, once.
        let target = self.set.lock().armed.remove(&timer);
        target.is_some()
    }

    /// How many are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.set.lock().armed.len()
    }

    /// Fires all that are due, but none that is armed meanwhile: those wait for the next call, so
    /// that targets that arm themselves again do not keep the I/O thread.
    pub(crate) fn fire_due(&self, now_ns: u64) {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if *holds > 0 {
            return;
        }
        let last = self.set.lock().last;
        while let Some(target) = self.take_due(now_ns, last) {
            if let Some(target) = target.upgrade() {
                target.fire(now_ns);
            }
        }
    }

    /// From now on nothing fires, and nothing is about to. Not to be called by a target.
    pub(crate) fn hold(&self) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Takes a [`Timers::hold`] back; what was due meanwhile fires soon.
    pub(crate) fn release(&self) {
        {
            let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            *holds = holds.saturating_sub(1);
        }
        // Long ago, but not 0, which means "never" to the host.
        let mut set = self.set.lock();
        set.alarm_ns = 1;
        self.reactor.set_alarm(Some(1));
    }

    /// Takes the earliest one out if it is due and not newer than `last`; else sets the alarm for
    /// it.
    fn take_due(&self, now_ns: u64, last: u64) -> Option<Weak<dyn Fire>> {
        let mut set = self.set.lock();
        let next = set.armed.first_key_value().map(|(id, _)| *id);
        if next.is_some_and(|id| id.deadline_ns <= now_ns && id.number <= last) {
            return set.armed.pop_first().map(|(_, target)| target);
        }
        let deadline = next.map(|id| id.deadline_ns);
        let rung = set.alarm_ns <= now_ns;
        if rung || set.alarm_ns != deadline.unwrap_or(u64::MAX) {
            set.alarm_ns = deadline.unwrap_or(u64::MAX);
            self.reactor.set_alarm(deadline);
        }
        None
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("armed", &self.set.lock().armed.len()).finish()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    struct Log(Mutex<Vec<u64>>);

    impl Fire for Log {
        fn fire(&self, now_ns: u64) {
            self.0.lock().push(now_ns);
        }
    }

    fn timers() -> (Timers, Arc<Log>, Weak<dyn Fire>) {
        let log = Arc::new(Log(Mutex::new(Vec::new())));
        let target: Arc<dyn Fire> = log.clone();
        let weak = Arc::downgrade(&target);
        (Timers::new(Arc::new(Reactor::new().unwrap())), log, weak)
    }

    #[test]
    fn each_fires_once_when_it_is_due() {
        let (timers, log, target) = timers();
        timers.arm(20, target.clone());
        timers.arm(10, target.clone());
        timers.arm(10, target);
        timers.fire_due(9);
        assert!(log.0.lock().is_empty());
        timers.fire_due(10);
        timers.fire_due(15);
        timers.fire_due(21);
        timers.fire_due(22);
        assert_eq!(*log.0.lock(), [10, 10, 21]);
    }

    #[test]
    fn nothing_fires_while_it_is_held() {
        let (timers, log, target) = timers();
        timers.arm(10, target);
        timers.hold();
        timers.hold();
        timers.fire_due(20);
        timers.release();
        timers.fire_due(21);
        assert!(log.0.lock().is_empty());
        timers.release();
        timers.fire_due(22);
        assert_eq!(*log.0.lock(), [22]);
    }

    #[test]
    fn a_cancelled_one_does_not_fire() {
        let (timers, log, target) = timers();
        let id = timers.arm(10, target);
        assert!(timers.cancel(id));
        assert!(!timers.cancel(id));
        timers.fire_due(10);
        assert!(log.0.lock().is_empty());
    }

    #[test]
    fn the_alarm_rings_for_the_earliest() {
        let (timers, log, target) = timers();
        let now = host::clock::monotonic_ns();
        timers.arm(now + 3_600_000_000_000, target.clone());
        timers.arm(now + 1_000_000, target);
        while log.0.lock().is_empty() {
            timers.reactor.turn();
            timers.fire_due(host::clock::monotonic_ns());
        }
        assert!(log.0.lock()[0] >= now + 1_000_000);
    }
}
