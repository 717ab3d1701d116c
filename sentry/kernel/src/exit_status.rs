//! How a task or process ended.

use abi::Signal;

/// How a task or process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub enum ExitStatus {
    /// It called exit(2) with this code (0 to 255).
    Exited(u8),
    /// A signal ended it.
    Signaled {
        /// Which.
        signal: Signal,
        /// With a core dump.
        core: bool,
    },
}

impl ExitStatus {
    /// As wait4(2) stores it.
    #[must_use]
    pub const fn to_wait_status(self) -> u32 {
        match self {
            Self::Exited(code) => (code as u32) << 8,
            Self::Signaled { signal, core } => signal.number() as u32 | if core { 0x80 } else { 0 },
        }
    }

    /// As a shell and an OCI runtime report it: the code, or 128 + signal.
    #[must_use]
    pub const fn to_shell_status(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled { signal, .. } => 128 + signal.number(),
        }
    }
}
