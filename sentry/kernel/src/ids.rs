//! Numbers of tasks, processes, process groups and sessions.

use std::fmt;

/// A task number. A process has that of its leader, a process group or session that of the
/// process that founded it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, state::Save, state::Load)]
pub struct Pid(pub u32);

impl Pid {
    /// The first process.
    pub const INIT: Self = Self(1);

    /// As system calls return it.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
