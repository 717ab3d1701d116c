//! A process to run inside, as `runsc` describes it to the Sentry.

use serde::{Deserialize, Serialize};

/// Everything that config.json or `exec` says about one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// `NAME=value` entries.
    pub env: Vec<String>,
    /// Working directory, absolute inside the container.
    pub cwd: String,
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// File mode mask; the Sentry's default when absent.
    pub umask: Option<u32>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// Resource limits to set.
    pub rlimits: Vec<Rlimit>,
    /// Sets `no_new_privs` inside.
    pub no_new_privileges: bool,
    /// With a terminal: its first size.
    pub terminal: Option<WindowSize>,
    /// `oom_score_adj` inside.
    pub oom_score_adj: Option<i32>,
}

/// Capability sets, one bit per capability number (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// One resource limit (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*` number.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}
