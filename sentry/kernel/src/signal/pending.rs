//! Signals that wait for delivery.

use std::collections::VecDeque;

use abi::{SigFields, SigInfo, SigSet, Signal};

/// A queue of pending signals, of a task or of a process.
#[derive(Debug, Default, state::Save, state::Load)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

impl Pending {
    /// Signals by faults of the task itself; they come first, as on Linux.
    pub(crate) const SYNCHRONOUS: SigSet = SigSet::of(Signal::SIGSEGV)
        .union(SigSet::of(Signal::SIGBUS))
        .union(SigSet::of(Signal::SIGILL))
        .union(SigSet::of(Signal::SIGTRAP))
        .union(SigSet::of(Signal::SIGFPE))
        .union(SigSet::of(Signal::SIGSYS));

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
        if let SigFields::Timer { id, overrun, .. } = info.fields {
            self.add_of_timer(info, id, overrun);
            return true;
        }
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

    /// Adds a signal of POSIX timer `id`: each timer has room for one, which gathers overruns
    /// (`timer_getoverrun(2)`).
    fn add_of_timer(&mut self, info: SigInfo, id: i32, more: i32) {
        for waiting in &mut self.queue {
            if let SigFields::Timer { id: other, overrun, .. } = &mut waiting.fields
                && *other == id
            {
                *overrun = overrun.saturating_add(more);
                return;
            }
        }
        self.set = self.set.union(SigSet::of(info.signal));
        self.queue.push_back(info);
    }

    /// True if a signal of POSIX timer `id` waits here.
    #[must_use]
    pub fn has_timer(&self, id: i32) -> bool {
        let of_timer = |info: &SigInfo| matches!(info.fields, SigFields::Timer { id: other, .. } if other == id);
        self.queue.iter().any(of_timer)
    }

    /// Forgets all signals of POSIX timers.
    pub(crate) fn discard_timers(&mut self) {
        self.queue.retain(|info| !matches!(info.fields, SigFields::Timer { .. }));
        self.set =
            self.queue.iter().fold(SigSet::EMPTY, |set, info| set.union(SigSet::of(info.signal)));
    }

    /// Takes the next signal that is in `wanted`: synchronous ones first, then by number.
    pub fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let ready = self.set.intersection(wanted);
        let signal = ready.intersection(Self::SYNCHRONOUS).first().or_else(|| ready.first())?;
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
    fn a_timer_has_one_signal_that_gathers_overruns() {
        let mut pending = Pending::default();
        let of = |id, overrun| {
            let fields = SigFields::Timer { id, overrun, value: 1 };
            SigInfo { fields, ..info(14) }
        };
        for info in [of(1, 0), of(2, 3), of(1, 5), of(1, i32::MAX)] {
            assert!(pending.add(info, 0));
        }
        assert!(pending.has_timer(1) && pending.has_timer(2) && !pending.has_timer(3));
        assert_eq!(pending.take(SigSet::ALL), Some(of(1, i32::MAX)));
        assert!(!pending.has_timer(1) && pending.set().has(Signal::SIGALRM));
        assert!(pending.add(info(1), 0));
        pending.discard_timers();
        assert_eq!(pending.take(SigSet::ALL), Some(info(1)));
        assert!(pending.is_empty() && pending.set().is_empty());
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
