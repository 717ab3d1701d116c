//! The one place that names platforms.

use std::sync::Arc;

use anyhow::{Result, bail};
use host::MemoryObject;
use platform::Platform;
use ptrace_fallback::Ptrace;

use crate::options::{NetworkChoice, Options, PlatformChoice, PtraceMode};

/// A platform, and what it holds all application memory in.
pub(super) struct Chosen {
    /// Runs application code.
    pub(super) platform: Arc<dyn Platform>,
    /// All application memory.
    pub(super) memory: Arc<MemoryObject>,
    /// How many threads run it.
    pub(super) executors: usize,
}

/// Starts the platform that `--platform` asks for.
pub(super) fn choose(options: &Options) -> Result<Chosen> {
    match options.platform {
        PlatformChoice::Kvm => bail!("--platform=kvm: not built yet"),
        PlatformChoice::Ptrace => {}
        PlatformChoice::Auto => tracing::info!("platform ptrace: kvm is not built yet"),
    }
    match options.network {
        NetworkChoice::Host => bail!("--network=host: not built yet"),
        NetworkChoice::Sandbox => tracing::info!("network: only loopback is built yet"),
        NetworkChoice::None => {}
    }
    if options.ptrace_mode == PtraceMode::Trap {
        bail!("--ptrace-mode=trap: not built yet");
    }
    let memory = Arc::new(MemoryObject::new(host_memory())?);
    let executors = std::thread::available_parallelism()?.get();
    let platform = Ptrace::new(Arc::clone(&memory), executors)?;
    Ok(Chosen { platform, memory, executors })
}

/// All memory of the host: the object is sparse, and no container can have more.
fn host_memory() -> u64 {
    const HUGE_PAGE: u64 = 2 << 20;
    let info = rustix::system::sysinfo();
    (info.totalram * u64::from(info.mem_unit)).next_multiple_of(HUGE_PAGE)
}
