//! The host's clocks (`clock_gettime(2)`, through the vDSO: no host call on usual hosts).

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: stops while the host is suspended. Never waits.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Nanoseconds since 1970 (`CLOCK_REALTIME`). Never waits.
#[must_use]
pub fn realtime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Nanoseconds of `CLOCK_BOOTTIME`: goes on while the host is suspended. Never waits.
#[must_use]
pub fn boottime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

/// A time before 1970 counts as 0; the sum does not overflow before the year 2554.
fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_go_back() {
        let first = monotonic_ns();
        assert!(monotonic_ns() >= first);
        assert!(boottime_ns() >= first);
    }

    #[test]
    fn real_time_is_after_2020() {
        assert!(realtime_ns() > 1_577_836_800_000_000_000);
    }
}
