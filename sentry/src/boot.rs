//! From a configuration to a kernel with its first process loaded.

use std::sync::Arc;

use control::Report;
use fs::{Shared, devfs};
use host::MemoryObject;
use kernel::{Kernel, KernelArgs, Task, Uts};
use mm::{Charge, Memory};
use platform::Platform;
use sched::{Kicker, Sched};
use vfs::MountNamespace;

use crate::{config::Config, job, mounts, process, stdio};

/// Kicks executors through the platform.
struct Kicks(Arc<dyn Platform>);

impl Kicker for Kicks {
    fn kick(&self, executor: usize) {
        self.0.kick(executor);
    }
}

/// A kernel that is ready to let its first process run.
pub(crate) struct Booted {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mounts: Arc<MountNamespace>,
    pub(crate) init: Arc<Task>,
}

/// Makes a kernel as `config` says.
pub(crate) fn boot(
    platform: &Arc<dyn Platform>,
    object: Arc<MemoryObject>,
    config: Config,
) -> Result<Booted, Report> {
    let limit = config.memory_limit.unwrap_or(u64::MAX).min(object.size_bytes());
    let memory = Memory::new(object, limit);
    let charge = Charge::new(limit);
    let sched = Sched::new(config.executors.max(1), Arc::new(Kicks(platform.clone())));
    let kernel = Kernel::new(KernelArgs {
        platform: platform.clone(),
        memory: memory.clone(),
        charge: charge.clone(),
        sched: sched.clone(),
        syscalls: Box::new(syscalls::Table { strace: config.strace }),
        uts: Uts::new(&config.hostname),
        vdso: kernel::loader::Vdso::new(&memory, &charge).ok(),
    });
    let shared = Shared::new(&memory, &charge);
    devfs::register(&shared);
    let _ = kernel.files.set(shared.clone());
    net::install(&kernel);
    sched.run();
    let (mounts, init) = {
        let (kernel, shared) = (kernel.clone(), shared.clone());
        job::run(&sched, move |fiber| prepare(fiber, &kernel, &shared, config))?
    };
    Ok(Booted { kernel, shared, mounts, init })
}

fn prepare(
    fiber: &sched::Fiber<'_>,
    kernel: &Arc<Kernel>,
    shared: &Arc<Shared>,
    config: Config,
) -> Result<(Arc<MountNamespace>, Arc<Task>), Report> {
    let namespace = mounts::mount_root(fiber, shared, config.root)?;
    let fs = kernel::FsContext::new(namespace.root(), namespace.clone(), 0);
    let terminal = config.process.terminal.is_some();
    mounts::with_ctx(fiber, &fs, |cx| {
        mounts::mount_all(cx, shared, config.mounts, terminal)?;
        mounts::protect(cx, shared, &config.masked_paths, &config.readonly_paths)
    })?;
    let files = stdio::table(kernel, shared, config.stdio)?;
    let init = process::load(fiber, kernel, &namespace, files, &config.process)?;
    Ok((namespace, init))
}
