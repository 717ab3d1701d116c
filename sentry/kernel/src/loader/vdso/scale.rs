//! From the time stamp counter to the host's clocks.

/// Nanoseconds after which a scale is no longer trusted: the host may steer its clock.
const VALID_MAX_NS: u64 = 1_000_000_000;
/// The shortest time over which a rate is measured. A reading is exact to some 20 ns.
const INTERVAL_MIN_NS: u64 = 1_000_000;
/// How much a rate may differ from the last one: the most that Linux steers is 500 ppm
/// (adjtimex(2)). More means that the host slept or the sandbox moved.
const DRIFT_MAX: u64 = 1 << 10;
/// Differences of clocks that are measured anew are the old ones if they are that near: they only
/// change when somebody sets the time, or the host sleeps.
const SAME_NS: u64 = 1_000;

/// The counter and the host's clocks at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) counter: u64,
    pub(super) monotonic_ns: u64,
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`.
    pub(super) realtime_offset: u64,
    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`.
    pub(super) boottime_offset: u64,
}

impl Sample {
    /// Reads the counter and the clocks: of some tries the one that took the fewest ticks.
    pub(super) fn take() -> Self {
        let tries = (0..5).map(|_| {
            let before = host::tsc::read();
            let monotonic_ns = host::clock::monotonic_ns();
            let took = host::tsc::read().wrapping_sub(before);
            (took, before.wrapping_add(took / 2), monotonic_ns)
        });
        let (_, counter, monotonic_ns) = tries.min().unwrap_or_default();
        Self {
            counter,
            monotonic_ns,
            realtime_offset: offset(host::clock::realtime_ns),
            boottime_offset: offset(host::clock::boottime_ns),
        }
    }
}

/// How far another clock is ahead of `CLOCK_MONOTONIC`.
fn offset(clock: fn() -> u64) -> u64 {
    let tries = (0..5).map(|_| {
        let before = host::clock::monotonic_ns();
        let other = clock();
        let took = host::clock::monotonic_ns().saturating_sub(before);
        (took, other.saturating_sub(before + took / 2))
    });
    tries.min().unwrap_or_default().1
}

/// How to make times of the counter, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// The counter at the start.
    pub(super) counter: u64,
    /// Nanoseconds per tick, times 2^32.
    pub(super) multiplier: u64,
    /// For how many ticks it holds.
    pub(super) valid: u64,
    /// `CLOCK_MONOTONIC` at the start.
    pub(super) monotonic_ns: u64,
    pub(super) realtime_offset: u64,
    pub(super) boottime_offset: u64,
}

impl Scale {
    /// `CLOCK_MONOTONIC` when the counter shows `counter`; `None` if the scale does not hold then.
    /// The same sum as in `host::vdso`.
    pub(super) fn monotonic_at(&self, counter: u64) -> Option<u64> {
        let ticks = counter.wrapping_sub(self.counter);
        (ticks <= self.valid).then(|| self.monotonic_ns + scaled(ticks, self.multiplier))
    }

    /// The latest time that anybody can have read of it by `counter`.
    fn latest_by(&self, counter: u64) -> u64 {
        let ticks = counter.saturating_sub(self.counter).min(self.valid);
        self.monotonic_ns + scaled(ticks, self.multiplier)
    }
}

/// What is known about the counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    /// The last sample that a rate was, or is to be, measured from.
    reference: Option<Sample>,
    scale: Option<Scale>,
}

impl Calibration {
    /// The present scale; it may have expired.
    pub(super) fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    /// Learns from a new sample; true if there is a new scale, or none any more.
    pub(super) fn learn(&mut self, now: Sample) -> bool {
        let Some(reference) = self.reference else { return self.restart(now) };
        let ticks = now.counter.checked_sub(reference.counter).filter(|ticks| *ticks > 0);
        let ns = now.monotonic_ns.checked_sub(reference.monotonic_ns);
        let (Some(ticks), Some(ns)) = (ticks, ns) else { return self.restart(now) };
        if ns < INTERVAL_MIN_NS {
            return false;
        }
        let rate = (u128::from(ns) << 32) / u128::from(ticks);
        let Some(rate) = u64::try_from(rate).ok().filter(|rate| *rate > 0) else {
            return self.restart(now);
        };
        // The longer it was measured, the longer it is trusted: its error stays the same.
        let valid_ns = ns.saturating_mul(2).min(VALID_MAX_NS);
        match self.next(now, rate, valid_ns) {
            Some(scale) => {
                self.reference = Some(now);
                self.scale = Some(scale);
                true
            }
            None => self.restart(now),
        }
    }

    /// A scale from `now` on that never gives a time before one that was given; `None` if the
    /// counter and the clock no longer fit together.
    fn next(&self, now: Sample, rate: u64, valid_ns: u64) -> Option<Scale> {
        let valid = (u128::from(valid_ns) << 32) / u128::from(rate);
        let mut scale = Scale {
            counter: now.counter,
            multiplier: rate,
            valid: u64::try_from(valid).ok()?,
            monotonic_ns: now.monotonic_ns,
            realtime_offset: now.realtime_offset,
            boottime_offset: now.boottime_offset,
        };
        let Some(old) = self.scale else { return Some(scale) };
        let given = old.latest_by(now.counter);
        let ahead = given.saturating_sub(now.monotonic_ns);
        let allowed = valid_ns / DRIFT_MAX;
        let steady = rate.abs_diff(old.multiplier) <= old.multiplier / DRIFT_MAX;
        if !steady || ahead > allowed {
            return None;
        }
        // Somewhat slower, so that at the end of its time it is right again.
        let slower = u128::from(rate) * u128::from(ahead) / u128::from(valid_ns);
        scale.multiplier -= u64::try_from(slower).ok()?;
        scale.monotonic_ns += ahead;
        scale.realtime_offset = keep(old.realtime_offset, now.realtime_offset);
        scale.boottime_offset = keep(old.boottime_offset, now.boottime_offset);
        Some(scale)
    }

    fn restart(&mut self, now: Sample) -> bool {
        self.reference = Some(now);
        self.scale.take().is_some()
    }
}

fn keep(old: u64, new: u64) -> u64 {
    if old.abs_diff(new) <= SAME_NS { old } else { new }
}

fn scaled(ticks: u64, multiplier: u64) -> u64 {
    let ns = (u128::from(ticks) * u128::from(multiplier)) >> 32;
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sample of a host with 3 ticks per nanosecond, off by some.
    fn sample(ns: u64, error: i64) -> Sample {
        Sample {
            counter: 1_000 + 3 * ns,
            monotonic_ns: (5_000_000 + ns).checked_add_signed(error).unwrap(),
            realtime_offset: 70_000_000_000,
            boottime_offset: 40,
        }
    }

    fn learned(samples: &[Sample]) -> Calibration {
        let mut calibration = Calibration::default();
        for sample in samples {
            calibration.learn(*sample);
        }
        calibration
    }

    #[test]
    fn trust_grows_with_the_time_of_measuring() {
        let mut calibration = learned(&[sample(0, 0), sample(500_000, 0)]);
        assert_eq!(calibration.scale(), None);
        let mut now = 2_000_000;
        let mut last = 0;
        for _ in 0..12 {
            assert!(calibration.learn(sample(now, 0)));
            let scale = *calibration.scale().unwrap();
            assert!(scale.valid >= last);
            last = scale.valid;
            let end = scale.counter + scale.valid;
            assert_eq!(scale.monotonic_at(end + 1), None);
            assert_eq!(scale.monotonic_at(scale.counter - 1), None);
            let at = scale.monotonic_at(end).unwrap();
            assert!(at.abs_diff(sample((end - 1_000) / 3, 0).monotonic_ns) < 10);
            now = (end - 1_000) / 3 + 7;
        }
        assert!(last.abs_diff(3 * VALID_MAX_NS) < 100);
    }

    #[test]
    fn a_host_that_slept_or_another_one_starts_it_anew() {
        let before = [sample(0, 0), sample(1_000_000_000, 0)];
        let other_rate = Sample { counter: 9_000_000_000, ..sample(2_000_000_000, 0) };
        let other_counter = Sample { counter: 5, ..sample(2_000_000_000, 0) };
        let earlier = Sample { monotonic_ns: 7, ..sample(2_000_000_000, 0) };
        for odd in [other_rate, other_counter, earlier] {
            let mut calibration = learned(&before);
            assert!(calibration.scale().is_some());
            assert!(calibration.learn(odd));
            assert_eq!(calibration.scale(), None);
            assert!(!calibration.learn(odd));
        }
    }

    #[test]
    fn small_differences_of_clocks_are_noise_and_great_ones_a_new_time() {
        let mut calibration = learned(&[sample(0, 0), sample(1_000_000_000, 0)]);
        let noisy = Sample { realtime_offset: 70_000_000_500, ..sample(2_000_000_000, 0) };
        calibration.learn(noisy);
        assert_eq!(calibration.scale().unwrap().realtime_offset, 70_000_000_000);
        let set = Sample { realtime_offset: 60_000_000_000, ..sample(3_000_000_000, 0) };
        calibration.learn(set);
        assert_eq!(calibration.scale().unwrap().realtime_offset, 60_000_000_000);
    }

    proptest! {
        #[test]
        fn time_never_goes_back_however_inexact_the_samples_are(
            steps in proptest::collection::vec((1_000..3_000_000_000_u64, -400..400_i64), 2..40),
        ) {
            let mut calibration = Calibration::default();
            let (mut now, mut last) = (0, 0);
            for (step, error) in steps {
                now += step;
                // Somebody reads until right before the new sample.
                for at in [now - step, now - step / 2, now] {
                    let counter = sample(at, 0).counter;
                    let read = calibration.scale().and_then(|scale| scale.monotonic_at(counter));
                    if let Some(read) = read {
                        prop_assert!(read >= last);
                        prop_assert!(read.abs_diff(sample(at, 0).monotonic_ns) < 3_000);
                        last = read;
                    }
                }
                if calibration.learn(sample(now, error)) && calibration.scale().is_none() {
                    // Started anew: from here on the host's clock is what is read.
                    last = 0;
                }
            }
        }
    }
}
