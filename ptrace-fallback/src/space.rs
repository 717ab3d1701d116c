//! Address spaces: a stub process each.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use abi::{AddrRange, USER_MAX, UserAddr};
use platform::{AddressSpace, Change, PlatformError};

use crate::{
    batch::Batch,
    carrier::Carrier,
    copy, layout,
    ptrace::{Shared, lock},
    service::{Lost, Prepared, Service},
    shadow::Shadow,
    stub,
    tracee::{self, Tracee},
};

/// The carrier of one executor.
#[derive(Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "few, and nearly all are of the large one")]
pub(crate) enum Slot {
    /// Not made yet.
    #[default]
    Empty,
    /// Ready.
    Ready(Carrier),
    /// Dead and reaped.
    Dead,
}

/// What a space is made of. Lock order: `shadow`, then `service`; `slots[i]`, then `service`;
/// `leader` last.
#[derive(Debug)]
pub(crate) struct SpaceCore {
    shared: Arc<Shared>,
    pid: i32,
    /// Held shared by copies, exclusively while a change is carried out.
    shadow: RwLock<Shadow>,
    service: Mutex<Service>,
    slots: Box<[Mutex<Slot>]>,
    lost: AtomicBool,
    /// True as long as `pid` has not been reaped.
    leader: Mutex<bool>,
}

impl SpaceCore {
    /// Clones the stub that `parent` serves; the new space has the mappings `shadow`.
    pub(crate) fn clone_from(
        shared: &Arc<Shared>,
        parent: &mut Service,
        shadow: Shadow,
    ) -> Result<Arc<Self>, PlatformError> {
        let prepared = Prepared::new()?;
        let pid = parent.clone_space(&prepared)?;
        if pid == 0 {
            return Err(no_process());
        }
        let slots = shared.executors.iter().map(|_| Mutex::default()).collect();
        let this = Arc::new(Self {
            shared: shared.clone(),
            pid,
            shadow: RwLock::new(shadow),
            service: Mutex::new(prepared.started(pid, &shared.cpus)),
            slots,
            lost: AtomicBool::new(false),
            leader: Mutex::new(true),
        });
        let ready = lock(&this.service).acknowledged();
        ready.map_err(|Lost| no_process())?;
        Ok(this)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn slot(&self, executor: usize) -> Option<&Mutex<Slot>> {
        self.slots.get(executor)
    }

    /// Makes the carrier of an executor; to be called on that executor's thread.
    pub(crate) fn attach(&self, executor: usize) -> Result<Carrier, PlatformError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let tid = lock(&self.service).clone_thread(layout::CLONE_CARRIER)?;
        if tid == 0 {
            return Err(no_process());
        }
        match Tracee::seize(tid, stub::parked()) {
            Ok(tracee) => {
                self.shared.cpus.pin(executor, Some(tid));
                Ok(Carrier::new(tracee, executor))
            }
            Err(source) => {
                self.lose();
                Err(PlatformError::Host { what: "ptrace of a stub", source })
            }
        }
    }

    /// Notes that the stub is dead or must be, and kills it.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        let alive = lock(&self.leader);
        if *alive {
            tracee::kill(self.pid);
        }
    }

    /// Kills the stub, since an executor can't run in it any more, and reaps that one's carrier.
    pub(crate) fn leave(&self, executor: usize) {
        self.lose();
        if let Some(slot) = self.slots.get(executor) {
            let mut slot = lock(slot);
            if let Slot::Ready(carrier) = &*slot {
                carrier.reap();
            }
            *slot = Slot::Dead;
        }
    }

    /// Kills the stub and waits until nothing of it runs. An executor that runs in it ends its
    /// switch by that. The leader can't be waited for before its traced threads.
    fn destroy(&self) {
        for executor in 0..self.slots.len() {
            self.leave(executor);
        }
        let mut alive = lock(&self.leader);
        if *alive {
            tracee::reap(self.pid);
            *alive = false;
        }
    }

    /// Two bytes of code, if they can be had without waiting.
    pub(crate) fn code_at(&self, addr: UserAddr) -> Option<[u8; 2]> {
        let shadow = self.shadow.try_read().ok()?;
        let mut code = [0; 2];
        (copy::copy_in(&self.shared.memory, &shadow, addr, &mut code) == 2).then_some(code)
    }

    fn read_shadow(&self) -> RwLockReadGuard<'_, Shadow> {
        self.shadow.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SpaceCore {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// The stub does not tell why a clone failed: it is nearly always a limit on processes.
fn no_process() -> PlatformError {
    let source = std::io::Error::from_raw_os_error(libc::EAGAIN);
    PlatformError::Host { what: "a stub process or thread", source }
}

/// Why a lost space says no.
pub(crate) const LOST: PlatformError = PlatformError::SpaceLost("its stub is dead");

/// An address space as the kernel holds it.
pub(crate) struct Space {
    pub(crate) core: Arc<SpaceCore>,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("pid", &self.core.pid).finish_non_exhaustive()
    }
}

impl Space {
    pub(crate) fn new(core: Arc<SpaceCore>) -> Self {
        Self { core }
    }
}

/// The contract asks for page-aligned ranges below `USER_MAX`; anything else is a bug of the
/// caller, and must not reach the stub's own pages.
fn check(range: AddrRange) -> Result<(), PlatformError> {
    let aligned = range.start.is_page_aligned() && range.end.is_page_aligned();
    if aligned && range.end <= USER_MAX {
        return Ok(());
    }
    Err(PlatformError::Host {
        what: "a range that is not aligned or not an application's",
        source: std::io::ErrorKind::InvalidInput.into(),
    })
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change]) -> Result<(), PlatformError> {
        for change in changes {
            let (Change::Map { range, .. }
            | Change::Unmap { range }
            | Change::Protect { range, .. }) = change;
            check(*range)?;
        }
        if self.core.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let mut shadow = self.core.shadow.write().unwrap_or_else(PoisonError::into_inner);
        let mut service = lock(&self.core.service);
        let done = Batch::new(&mut service).carry_out(&mut shadow, changes);
        drop(service);
        if done.is_err() {
            // The caller will reuse what it wanted unmapped: nothing may run here any more.
            self.core.destroy();
            return Err(LOST);
        }
        Ok(())
    }

    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> usize {
        copy::copy_in(&self.core.shared.memory, &self.core.read_shadow(), from, to)
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> usize {
        copy::copy_out(&self.core.shared.memory, &self.core.read_shadow(), to, from)
    }

    fn compare_exchange(&self, addr: UserAddr, expected: u32, new: u32) -> Option<u32> {
        let shadow = self.core.read_shadow();
        copy::compare_exchange(&self.core.shared.memory, &shadow, addr, expected, new)
    }

    fn load(&self, addr: UserAddr) -> Option<u32> {
        copy::load(&self.core.shared.memory, &self.core.read_shadow(), addr)
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        if self.core.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let shadow = self.core.read_shadow();
        let mut service = lock(&self.core.service);
        let child = SpaceCore::clone_from(&self.core.shared, &mut service, shadow.clone());
        drop(service);
        let child = child.inspect_err(|error| {
            if matches!(error, PlatformError::SpaceLost(_)) {
                self.core.lose();
            }
        })?;
        Ok(Arc::new(Self::new(child)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
