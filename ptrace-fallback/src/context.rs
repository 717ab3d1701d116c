//! What an executor needs to run application code.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
};

use abi::{FpuState, Registers, UserAddr};
use platform::{Access, AddressSpace, Context, Exit, PlatformError, UserState};

use crate::{
    carrier::Carrier,
    exits,
    ptrace::{Shared, lock},
    space::{LOST, Slot, Space, SpaceCore},
    tracee::Gone,
};

/// Where the newest FPU registers of a state are, if not in the state.
#[derive(Debug)]
enum Home {
    /// In this executor's carrier in this space.
    Loaded(Weak<SpaceCore>),
    /// Saved when another state took the carrier.
    Saved(FpuState),
}

/// The FPU registers that this executor keeps, by the number of their state.
#[derive(Debug, Default)]
struct Homes {
    map: BTreeMap<u64, (Weak<()>, Home)>,
    /// Look for dead states when the map is this long.
    sweep_at: usize,
}

impl Homes {
    fn insert(&mut self, id: u64, watch: Weak<()>, home: Home) {
        self.map.insert(id, (watch, home));
        if self.map.len() >= self.sweep_at {
            self.map.retain(|_, (watch, _)| watch.strong_count() > 0);
            self.sweep_at = 2 * self.map.len() + 64;
        }
    }
}

/// The spaces in which this executor has a carrier.
#[derive(Debug, Default)]
struct Attached {
    spaces: Vec<Weak<SpaceCore>>,
    /// Look for dead ones when there are this many.
    sweep_at: usize,
}

impl Attached {
    fn push(&mut self, core: &Arc<SpaceCore>) {
        self.spaces.push(Arc::downgrade(core));
        if self.spaces.len() >= self.sweep_at {
            self.spaces.retain(|space| space.strong_count() > 0);
            self.sweep_at = 2 * self.spaces.len() + 64;
        }
    }
}

/// The context of one executor. Only that executor's thread uses it: its locks are never
/// contended. They are taken after a slot's.
#[derive(Debug)]
pub(crate) struct PtraceContext {
    shared: Arc<Shared>,
    executor: usize,
    homes: Mutex<Homes>,
    attached: Mutex<Attached>,
}

impl PtraceContext {
    pub(crate) fn new(shared: Arc<Shared>, executor: usize) -> Self {
        Self { shared, executor, homes: Mutex::default(), attached: Mutex::default() }
    }

    /// Calls `body` with this executor's carrier in `core`, made if there is none.
    fn with_carrier<T>(
        &self,
        core: &Arc<SpaceCore>,
        body: impl FnOnce(&mut Carrier) -> Result<T, Gone>,
    ) -> Result<T, PlatformError> {
        let mut slot = lock(core.slot(self.executor).ok_or(LOST)?);
        if matches!(*slot, Slot::Empty) {
            *slot = Slot::Ready(core.attach(self.executor)?);
            lock(&self.attached).push(core);
        }
        let Slot::Ready(carrier) = &mut *slot else { return Err(LOST) };
        match body(carrier) {
            Ok(value) => Ok(value),
            Err(Gone) => {
                drop(slot);
                core.leave(self.executor);
                Err(LOST)
            }
        }
    }

    /// Brings the FPU registers of `state` into `carrier`.
    fn load_fpu(
        &self,
        core: &Arc<SpaceCore>,
        carrier: &mut Carrier,
        state: &mut UserState,
    ) -> Result<(), Gone> {
        if carrier.loaded == Some(state.id()) && !state.fpu_changed {
            return Ok(());
        }
        let mut homes = lock(&self.homes);
        if let Some(other) = carrier.loaded.take().filter(|other| *other != state.id())
            && let Some((watch, home)) = homes.map.get_mut(&other)
            && watch.strong_count() > 0
        {
            *home = Home::Saved(self.shared.fpu.save(carrier.tracee)?);
        }
        match homes.map.remove(&state.id()) {
            Some((_, Home::Saved(fpu))) if !state.fpu_changed => state.fpu = fpu,
            Some((_, Home::Saved(_))) => {}
            Some((_, Home::Loaded(elsewhere)))
                if !std::ptr::eq(elsewhere.as_ptr(), Arc::as_ptr(core)) =>
            {
                self.fetch(&elsewhere, state);
            }
            Some((_, Home::Loaded(_))) | None => {}
        }
        self.shared.fpu.load(carrier.tracee, &state.fpu)?;
        state.fpu_changed = false;
        carrier.loaded = Some(state.id());
        homes.insert(state.id(), state.watch(), Home::Loaded(Arc::downgrade(core)));
        Ok(())
    }

    /// Takes the registers of `state` out of this executor's carrier in `from`. If that space is
    /// dead they are lost with it, as is whatever ran there.
    fn fetch(&self, from: &Weak<SpaceCore>, state: &mut UserState) {
        let Some(from) = from.upgrade() else { return };
        let Some(slot) = from.slot(self.executor) else { return };
        let mut slot = lock(slot);
        if let Slot::Ready(carrier) = &mut *slot
            && carrier.loaded == Some(state.id())
        {
            carrier.loaded = None;
            if !state.fpu_changed
                && let Ok(fpu) = self.shared.fpu.save(carrier.tracee)
            {
                state.fpu = fpu;
            }
        }
    }

    /// Runs `carrier` once. A kick that came before it could run is answered at once.
    fn run(
        &self,
        core: &Arc<SpaceCore>,
        carrier: &mut Carrier,
        state: &mut UserState,
    ) -> Result<Exit, Gone> {
        let Some(executor) = self.shared.executors.get(self.executor) else { return Err(Gone) };
        self.load_fpu(core, carrier, state)?;
        carrier.load(state)?;
        executor.running.store(carrier.name(core.pid()), Ordering::SeqCst);
        let stop = if executor.kicked.swap(false, Ordering::SeqCst) {
            None
        } else {
            Some(carrier.tracee.resume(state.single_step).and_then(|()| carrier.tracee.wait()))
        };
        executor.running.store(0, Ordering::SeqCst);
        let Some(stop) = stop else { return Ok(Exit::Interrupted) };
        let exit = carrier.stopped(stop?, state, &self.shared.fpu)?;
        if exit == Exit::Interrupted {
            // Whoever kicked before this is answered by it.
            executor.kicked.swap(false, Ordering::SeqCst);
        }
        Ok(exit)
    }

    /// Meets the last fault of `state` again, for its error code.
    fn fault_again(
        &self,
        core: &Arc<SpaceCore>,
        carrier: &mut Carrier,
        state: &mut UserState,
    ) -> Result<Access, Gone> {
        let before = state.regs;
        self.load_fpu(core, carrier, state)?;
        loop {
            carrier.load(state)?;
            carrier.tracee.resume(true)?;
            let stop = carrier.tracee.wait()?;
            match carrier.stopped(stop, state, &self.shared.fpu)? {
                Exit::Fault { .. } => return self.last_fault(carrier, state),
                Exit::Trap { vector: 1, .. } => {
                    state.step_due = state.single_step;
                    return Ok(Access::Read);
                }
                Exit::Interrupted => {
                    // A kick must not be lost here: the next switch answers it.
                    if let Some(executor) = self.shared.executors.get(self.executor) {
                        executor.kicked.store(true, Ordering::SeqCst);
                    }
                    state.regs = before;
                }
                Exit::Syscall | Exit::Syscall32 | Exit::Trap { .. } => break,
            }
        }
        state.regs = before;
        Ok(Access::Unknown)
    }

    /// Reads the error code of the fault at which `carrier` stands.
    fn last_fault(&self, carrier: &mut Carrier, state: &mut UserState) -> Result<Access, Gone> {
        let Some((_, signal)) = carrier.fault else { return Ok(Access::Unknown) };
        let frame = carrier.frame(signal, state, &self.shared.fpu)?;
        Ok(exits::access_of_code(frame.code))
    }
}

impl Drop for PtraceContext {
    /// The host ends all stubs that this thread traces when the thread ends. Do it now, so that
    /// nobody waits for a carrier that goes away by itself.
    fn drop(&mut self) {
        for core in lock(&self.attached).spaces.iter().filter_map(Weak::upgrade) {
            core.leave(self.executor);
        }
    }
}

fn own(space: &Arc<dyn AddressSpace>) -> Result<&Arc<SpaceCore>, PlatformError> {
    let space = space.as_any().downcast_ref::<Space>();
    space.map(|space| &space.core).ok_or(PlatformError::SpaceLost("it is of another platform"))
}

/// `int 0x80` in 64-bit code is the same stop as `syscall`, but does not set rcx, and is another
/// instruction.
fn is_int80(core: &SpaceCore, regs: &Registers) -> bool {
    let at = UserAddr::new(regs.rip.wrapping_sub(2));
    regs.rcx != regs.rip || core.code_at(at) == Some([0xcd, 0x80])
}

impl Context for PtraceContext {
    fn switch(
        &self,
        space: &Arc<dyn AddressSpace>,
        state: &mut UserState,
    ) -> Result<Exit, PlatformError> {
        if let Some(exit) = exits::before(state.regs.rip) {
            return Ok(exit);
        }
        if std::mem::take(&mut state.step_due) && state.single_step {
            return Ok(exits::STEPPED);
        }
        let core = own(space)?;
        let mut exit = self.with_carrier(core, |carrier| self.run(core, carrier, state))?;
        if exit == Exit::Syscall && is_int80(core, &state.regs) {
            exit = Exit::Syscall32;
        }
        state.step_due = state.single_step && exit == Exit::Syscall;
        Ok(exit)
    }

    fn save_fpu(&self, state: &mut UserState) -> Result<(), PlatformError> {
        let home = lock(&self.homes).map.remove(&state.id());
        match home {
            Some((_, Home::Saved(fpu))) if !state.fpu_changed => state.fpu = fpu,
            Some((_, Home::Loaded(core))) => self.fetch(&core, state),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn exact_access(
        &self,
        space: &Arc<dyn AddressSpace>,
        state: &mut UserState,
    ) -> Result<Access, PlatformError> {
        let core = own(space)?;
        self.with_carrier(core, |carrier| match carrier.fault {
            Some((id, _)) if id == state.id() => self.last_fault(carrier, state),
            _ => self.fault_again(core, carrier, state),
        })
    }
}
