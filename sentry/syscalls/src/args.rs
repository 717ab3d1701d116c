//! The arguments of a system call.

use abi::{Errno, UserAddr};
use kernel::Pid;

/// The six argument registers, read as the types that a prototype says.
#[derive(Clone, Copy, Debug)]
pub struct Args(pub [u64; 6]);

impl Args {
    /// Argument `index` as it is.
    #[must_use]
    pub fn get(self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Argument `index` as an address.
    #[must_use]
    pub fn addr(self, index: usize) -> UserAddr {
        UserAddr::new(self.get(index))
    }

    /// Argument `index` as `unsigned int`: the ABI drops the high half.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the ABI drops the high half")]
    pub fn u32(self, index: usize) -> u32 {
        self.get(index) as u32
    }

    /// Argument `index` as `int`.
    #[must_use]
    pub fn i32(self, index: usize) -> i32 {
        self.u32(index).cast_signed()
    }

    /// Argument `index` as `long` or `off_t`.
    #[must_use]
    pub fn i64(self, index: usize) -> i64 {
        self.get(index).cast_signed()
    }

    /// Argument `index` as a length in memory of the Sentry.
    #[must_use]
    pub fn size(self, index: usize) -> usize {
        usize::try_from(self.get(index)).unwrap_or(usize::MAX)
    }

    /// Argument `index` as `off_t` that must not be negative.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn offset(self, index: usize) -> Result<u64, Errno> {
        u64::try_from(self.i64(index)).map_err(|_| Errno::EINVAL)
    }

    /// Argument `index` as a task number, which must not be negative.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn pid(self, index: usize) -> Result<Pid, Errno> {
        u32::try_from(self.i32(index)).map(Pid).map_err(|_| Errno::EINVAL)
    }

    /// Argument `index` as flags of which only `known` exist.
    ///
    /// # Errors
    ///
    /// `EINVAL` for others.
    pub fn flags(self, index: usize, known: u32) -> Result<u32, Errno> {
        let flags = self.u32(index);
        if flags & !known == 0 { Ok(flags) } else { Err(Errno::EINVAL) }
    }
}
