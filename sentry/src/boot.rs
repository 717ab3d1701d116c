//! From a configuration to a kernel with its first process loaded.

use std::sync::Arc;

use control::Report;
use fs::{
    Shared, devfs,
    devpts::{Devpts, TtyDevice},
};
use host::MemoryObject;
use kernel::{Kernel, KernelArgs, Task, Uts};
use mm::{Charge, Memory};
use platform::Platform;
use sched::{Kicker, Sched};
use vfs::MountNamespace;

use crate::{config::Config, job, mounts, process, stdio, terminal::Relay};

/// Kicks executors through the platform.
pub(crate) struct Kicks(pub(crate) Arc<dyn Platform>);

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
    pub(crate) devpts: Arc<Devpts>,
    pub(crate) terminal: Option<Arc<Relay>>,
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
    TtyDevice::register(&shared);
    let _ = kernel.files.set(shared.clone());
    sched.run();
    let job = {
        let (kernel, shared) = (kernel.clone(), shared.clone());
        move |fiber: &sched::Fiber<'_>| prepare(fiber, kernel, shared, config)
    };
    job::run(&sched, job)
}

fn prepare(
    fiber: &sched::Fiber<'_>,
    kernel: Arc<Kernel>,
    shared: Arc<Shared>,
    config: Config,
) -> Result<Booted, Report> {
    let root_readonly = config.root.readonly;
    let namespace = mounts::mount_root(fiber, &shared, config.root)?;
    let fs = kernel::FsContext::new(namespace.root(), namespace.clone(), 0);
    let devpts = Devpts::new(&shared);
    let has_terminal = config.process.terminal.is_some();
    mounts::with_ctx(fiber, &fs, |cx| {
        mounts::mount_all(cx, &kernel, &shared, &devpts, config.mounts, has_terminal)?;
        if root_readonly {
            mounts::make_mount_readonly(&namespace.root().mount);
        }
        mounts::protect(cx, &shared, &config.masked_paths, &config.readonly_paths)
    })?;
    let (devpts, _) = devpts;
    let streams = stdio::table(fiber, &kernel, &shared, &devpts, &fs, (config.stdio, true))?;
    let init = process::load(fiber, &kernel, &namespace, streams.files, &config.process)?;
    if let Some(master) = &streams.master {
        process::give_terminal(&init, master, config.process.terminal);
        TtyDevice::register_console(&shared, master.terminal().clone());
    }
    let terminal = streams.terminal;
    Ok(Booted { kernel, shared, mounts: namespace, init, devpts, terminal })
}
