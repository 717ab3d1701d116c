//! Signals that wait for delivery.

use std::collections::VecDeque;

use abi::{SigInfo, SigSet, Signal};

/// Signals by faults of the task itself come first, as on Linux.
const SYNCHRONOUS: SigSet = SigSet::of(Signal::SIGSEGV)
    .union(SigSet::of(Signal::SIGBUS))
    .union(SigSet::of(Signal::SIGILL))
    .union(SigSet::of(Signal::SIGTRAP))
    .union(SigSet::of(Signal::SIGFPE))
    .union(SigSet::of(Signal::SIGSYS));

/// A queue of pending signals, of a task or of a process.
#[derive(Debug, Default)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

impl Pending {
    /// The signals in it.
    #[must_use]
    pub const fn set(&self) -> SigSet {
        self.set
    }

    /// How many entries it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a signal. A standard signal that is pending already is not added again; a real-time
    /// signal queues while fewer than `limit` are there. False if it found no room.
    pub fn add(&mut self, info: SigInfo, limit: u64) -> bool {
        if self.set.has(info.signal) && !info.signal.is_realtime() {
            return true;
        }
        if info.signal.is_realtime() && self.queue.len() as u64 >= limit {
            return false;
        }
        self.set = self.set.union(SigSet::of(info.signal));
        self.queue.push_back(info);
        true
    }

    /// Takes the next signal that is in `wanted`: synchronous ones first, then by number.
    pub fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let ready = self.set.intersection(wanted);
        let signal = ready.intersection(SYNCHRONOUS).first().or_else(|| ready.first())?;
        let at = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(at);
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set = self.set.without(SigSet::of(signal));
        }
        info
    }

    /// Forgets all signals of `set`.
    pub fn discard(&mut self, set: SigSet) {
        self.queue.retain(|info| !set.has(info.signal));
        self.set = self.set.without(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(number: u64) -> SigInfo {
        SigInfo::user(Signal::new(number).unwrap(), 1, 0)
    }

    #[test]
    fn standard_signals_merge_and_realtime_signals_queue_up_to_the_limit() {
        let mut pending = Pending::default();
        assert!(pending.add(info(10), 0) && pending.add(info(10), 0));
        assert!(pending.add(info(40), 2));
        assert!(!pending.add(info(40), 2));
        assert_eq!(pending.len(), 2);
    }

    #[test]
    fn faults_come_before_lower_numbers_and_order_is_kept_within_one() {
        let mut pending = Pending::default();
        for number in [40, 11, 1, 40] {
            assert!(pending.add(info(number), 9));
        }
        let order: Vec<u8> = std::iter::from_fn(|| pending.take(SigSet::ALL))
            .map(|info| info.signal.number())
            .collect();
        assert_eq!(order, [11, 1, 40, 40]);
        assert!(pending.set().is_empty());
    }
}
