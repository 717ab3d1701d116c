//! What the global flags say, as the parts beneath the command line take it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Choices that the sandbox is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Options {
    /// Which platform runs application code.
    pub(crate) platform: PlatformChoice,
    /// How the ptrace platform hands over.
    pub(crate) ptrace_mode: PtraceMode,
    /// Log each system call.
    pub(crate) strace: bool,
    /// Log in detail.
    pub(crate) debug: bool,
    /// Where packets go.
    pub(crate) network: NetworkChoice,
}

/// `--platform`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum PlatformChoice {
    /// The best one that this host can do.
    #[default]
    Auto,
    /// ptrace(2).
    Ptrace,
    /// /dev/kvm.
    Kvm,
}

/// `--ptrace-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum PtraceMode {
    /// The best one that this host can do.
    #[default]
    Auto,
    /// `PTRACE_SYSEMU`.
    Sysemu,
    /// SIGSYS in the stub.
    Trap,
}

/// `--network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum NetworkChoice {
    /// The sandbox's own loopback only.
    None,
    /// Sockets of the host.
    Host,
    /// The Sentry's own stack on the container's link.
    #[default]
    Sandbox,
}
