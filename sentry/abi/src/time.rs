//! Points in time and spans (`clock_gettime(2)`).

/// `struct timespec`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: i64,
}

impl Timespec {
    /// From nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { sec: (ns / 1_000_000_000).cast_signed(), nsec: (ns % 1_000_000_000).cast_signed() }
    }

    /// To nanoseconds: `None` for a value that Linux refuses with `EINVAL` (negative, or `nsec`
    /// out of range); saturates at the end of time.
    #[must_use]
    pub const fn to_ns(self) -> Option<u64> {
        if self.sec < 0 || self.nsec < 0 || self.nsec > 999_999_999 {
            return None;
        }
        Some(
            self.sec
                .cast_unsigned()
                .saturating_mul(1_000_000_000)
                .saturating_add(self.nsec.cast_unsigned()),
        )
    }
}
