//! Timers: one ordered set, served by the I/O thread.

use std::{collections::BTreeMap, fmt, sync::Weak};

use crate::Mutex;

/// What a timer does when its time has come. Runs on the I/O thread: it must be short.
pub trait Fire: Send + Sync {
    /// The deadline has passed; it is `now_ns` of CLOCK_MONOTONIC.
    fn fire(&self, now_ns: u64);
}

/// Names an armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline_ns: u64,
    number: u64,
}

/// All armed timers.
#[derive(Default)]
pub struct Timers {
    armed: Mutex<BTreeMap<TimerId, Weak<dyn Fire>>>,
}

impl Timers {
    /// Lets `target` fire once, at `deadline_ns` of CLOCK_MONOTONIC or soon after.
    pub fn arm(&self, _deadline_ns: u64, _target: Weak<dyn Fire>) -> TimerId {
        todo!()
    }

    /// Takes a timer back. It may be firing at this moment.
    pub fn cancel(&self, _timer: TimerId) {
        todo!()
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("armed", &self.armed.lock().len()).finish()
    }
}
