//! When a timer goes off. Plain arithmetic on one clock.

/// A time span to the first expiration and one between further ones, in nanoseconds (`struct
/// itimerval`, `struct itimerspec`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// To the first expiration, or its time; 0: disarmed.
    pub value_ns: u64,
    /// From one expiration to the next; 0: there is only one.
    pub interval_ns: u64,
}

/// A point of a clock at which something is to happen, perhaps again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub(super) struct Alarm {
    deadline_ns: Option<u64>,
    interval_ns: u64,
}

impl Alarm {
    pub(super) const fn new(deadline_ns: u64, interval_ns: u64) -> Self {
        Self { deadline_ns: Some(deadline_ns), interval_ns }
    }

    /// The next expiration.
    pub(super) const fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    /// What is left until the next expiration. One that is due, but was not carried out yet,
    /// counts as the shortest time, since 0 means "disarmed".
    pub(super) fn setting(&self, now_ns: u64) -> TimerSetting {
        let left = match self.deadline_ns {
            None => 0,
            Some(deadline) if deadline > now_ns => deadline - now_ns,
            Some(_) if self.interval_ns == 0 => 1,
            Some(deadline) => self.interval_ns - (now_ns - deadline) % self.interval_ns,
        };
        TimerSetting { value_ns: left, interval_ns: self.interval_ns }
    }

    /// Carries out what is due; returns how many expirations there were.
    pub(super) fn expire(&mut self, now_ns: u64) -> u64 {
        let Some(deadline) = self.deadline_ns.filter(|deadline| *deadline <= now_ns) else {
            return 0;
        };
        if self.interval_ns == 0 {
            self.deadline_ns = None;
            return 1;
        }
        let more = (now_ns - deadline) / self.interval_ns;
        let ahead = more.saturating_add(1).saturating_mul(self.interval_ns);
        self.deadline_ns = Some(deadline.saturating_add(ahead));
        more.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_an_interval_goes_off_once() {
        let mut alarm = Alarm::new(100, 0);
        assert_eq!(alarm.setting(40), TimerSetting { value_ns: 60, interval_ns: 0 });
        assert_eq!(alarm.expire(99), 0);
        assert_eq!(alarm.setting(100).value_ns, 1);
        assert_eq!((alarm.expire(150), alarm.expire(200)), (1, 0));
        assert_eq!((alarm.deadline_ns(), alarm.setting(200)), (None, TimerSetting::default()));
    }

    #[test]
    fn one_with_an_interval_keeps_its_beat_and_counts_what_it_missed() {
        let mut alarm = Alarm::new(100, 30);
        assert_eq!(alarm.expire(100), 1);
        assert_eq!(alarm.deadline_ns(), Some(130));
        assert_eq!(alarm.setting(195), TimerSetting { value_ns: 25, interval_ns: 30 });
        assert_eq!(alarm.expire(195), 3);
        assert_eq!(alarm.deadline_ns(), Some(220));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        for (deadline, interval) in [(0, 1), (u64::MAX, u64::MAX), (1, u64::MAX), (0, 0)] {
            let mut alarm = Alarm::new(deadline, interval);
            assert!(alarm.expire(u64::MAX) >= 1);
            let _ = alarm.setting(u64::MAX);
        }
        assert_eq!(Alarm::new(0, 1).expire(u64::MAX), u64::MAX);
    }
}
