//! The platform object.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use host::MemoryObject;
use platform::{AddressSpace, Context, Platform, PlatformError};

use crate::{
    context::PtraceContext,
    cpu::Cpus,
    fpu::Fpu,
    probe::probe,
    service::Service,
    shadow::Shadow,
    space::{Space, SpaceCore},
    template, tracee,
};

/// Locks, whether or not a holder panicked: all that these locks guard is checked when used.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What others see of an executor.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    /// A kick that no switch has answered yet.
    pub(crate) kicked: AtomicBool,
    /// The tracee that runs: pid of its space << 32 | tid; 0 if none.
    pub(crate) running: AtomicU64,
    taken: AtomicBool,
}

impl Executor {
    fn kick(&self) {
        self.kicked.store(true, Ordering::SeqCst);
        let running = self.running.load(Ordering::SeqCst);
        if running != 0 {
            let half = |word: u64| i32::try_from(word & 0xffff_ffff).unwrap_or(0);
            tracee::kick(half(running >> 32), half(running));
        }
    }
}

/// What spaces and contexts share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) memory: Arc<MemoryObject>,
    pub(crate) executors: Box<[Executor]>,
    pub(crate) fpu: Fpu,
    pub(crate) cpus: Cpus,
}

/// The ptrace platform, `sysemu` mode.
#[derive(Debug)]
pub struct Ptrace {
    shared: Arc<Shared>,
    template_pid: i32,
    template: Mutex<Service>,
}

impl Ptrace {
    /// Starts the template of all spaces. To be called before the Sentry's filter is set, from a
    /// thread that lives as long as the platform: the host ends all stubs when it ends.
    ///
    /// # Errors
    ///
    /// When the host refuses a resource or forbids ptrace.
    pub fn new(memory: Arc<MemoryObject>, executors: usize) -> Result<Arc<Self>, PlatformError> {
        let cpus = Cpus::new(executors);
        if executors == 0 {
            return Err(invalid("no executor"));
        }
        let (template_pid, service) = template::start(&memory, executors, &cpus)?;
        let executors = (0..executors).map(|_| Executor::default()).collect();
        let shared = Arc::new(Shared { memory, executors, fpu: Fpu::new(), cpus });
        let this = Arc::new(Self { shared, template_pid, template: Mutex::new(service) });
        probe(&this.shared, &mut lock(&this.template))?;
        Ok(this)
    }
}

fn invalid(what: &'static str) -> PlatformError {
    PlatformError::Host { what, source: std::io::ErrorKind::InvalidInput.into() }
}

impl Platform for Ptrace {
    fn name(&self) -> &'static str {
        "ptrace"
    }

    fn new_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        let mut template = lock(&self.template);
        let core = SpaceCore::clone_from(&self.shared, &mut template, Shadow::default())?;
        Ok(Arc::new(Space::new(core)))
    }

    fn context(&self, executor: usize) -> Result<Box<dyn Context>, PlatformError> {
        let unknown = "an executor that is not there or was taken";
        let entry = self.shared.executors.get(executor).ok_or_else(|| invalid(unknown))?;
        if entry.taken.swap(true, Ordering::SeqCst) {
            return Err(invalid(unknown));
        }
        self.shared.cpus.pin(executor, None);
        Ok(Box::new(PtraceContext::new(self.shared.clone(), executor)))
    }

    fn kick(&self, executor: usize) {
        if let Some(executor) = self.shared.executors.get(executor) {
            executor.kick();
        }
    }

    fn cpu_of(&self, executor: usize) -> Option<usize> {
        self.shared.cpus.of(executor)
    }

    fn fpu_size_bytes(&self) -> usize {
        self.shared.fpu.size_bytes()
    }

    fn exact_faults(&self) -> bool {
        false
    }
}

impl Drop for Ptrace {
    fn drop(&mut self) {
        tracee::kill(self.template_pid);
        tracee::reap(self.template_pid);
    }
}
