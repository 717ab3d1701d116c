//! The memory of one process.

use std::sync::{Arc, Weak};

use abi::Errno;
use platform::{AddressSpace, Platform};
use sched::Mutex;
use state::live::Live;

use crate::{
    Charge, Layout, Limits, Mappable, Mapped, MappingHandle, Memory, Span,
    batch::Batch,
    pma::{Pma, PmaSet},
    vma::{USER, VmaSet},
};

/// The memory of one process (of all tasks that share it): its mappings, its pages and the
/// platform's space, which is a cache of both.
#[derive(Debug)]
pub struct MemoryManager {
    /// Dropped before `owned`, so that no page is given back while it is mapped.
    space: Arc<dyn AddressSpace>,
    owned: Owned,
    id: u64,
    _live: Live<Self>,
}

state::counted!(MemoryManager);

/// What belongs to the lock, and gives its pages back at the end.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Owned {
    memory: Arc<Memory>,
    charge: Arc<Charge>,
    state: Mutex<State>,
}

/// What the lock protects.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct State {
    pub(crate) vmas: VmaSet,
    pub(crate) pmas: PmaSet,
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    pub(crate) heap: Heap,
    /// `MCL_FUTURE`, and whether without populating.
    pub(crate) lock_future: Option<LockFuture>,
    /// The platform could not carry out an order: nothing is known of the space any more.
    pub(crate) lost: bool,
    /// Pages that may still be mapped in a lost space.
    quarantine: Vec<Span>,
}

/// Where the heap lies.
#[derive(Clone, Copy, Debug, Default, state::Save, state::Load)]
pub(crate) struct Heap {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What mlockall(2) said about mappings to come.
#[derive(Clone, Copy, Debug, state::Save, state::Load)]
pub(crate) struct LockFuture {
    pub(crate) on_fault: bool,
}

/// The platform's space is lost: the process is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

impl From<Lost> for Errno {
    fn from(_: Lost) -> Self {
        Self::ENOMEM
    }
}

impl MemoryManager {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the platform can't make a space.
    pub fn new(
        platform: &Arc<dyn Platform>,
        memory: &Arc<Memory>,
        charge: &Arc<Charge>,
    ) -> Result<Arc<Self>, Errno> {
        let space = platform.new_space().map_err(|error| {
            tracing::warn!(%error, "no address space");
            Errno::ENOMEM
        })?;
        Ok(Arc::new(Self::with_space(space, memory, charge)))
    }

    pub(crate) fn with_space(
        space: Arc<dyn AddressSpace>,
        memory: &Arc<Memory>,
        charge: &Arc<Charge>,
    ) -> Self {
        let (memory, charge) = (Arc::clone(memory), Arc::clone(charge));
        let id = memory.next_id();
        Self {
            space,
            owned: Owned { memory, charge, state: Mutex::default() },
            id,
            _live: Live::new(),
        }
    }

    pub(crate) fn from_parts(space: Arc<dyn AddressSpace>, owned: Owned, id: u64) -> Self {
        Self { space, owned, id, _live: Live::new() }
    }

    pub(crate) fn owned(&self) -> &Owned {
        &self.owned
    }

    /// The address space to run code in.
    #[must_use]
    pub fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    /// The memory its pages come from.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.owned.memory
    }

    /// The account that pays for them.
    #[must_use]
    pub fn charge(&self) -> &Arc<Charge> {
        &self.owned.charge
    }

    /// A number that no other address space of the sandbox has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True once the platform lost the address space: the process is to be killed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state().lock().lost
    }

    /// Sets the layout (exec).
    pub fn set_layout(&self, layout: Layout) {
        self.state().lock().layout = layout;
    }

    /// Sets the limits (exec, setrlimit).
    pub fn set_limits(&self, limits: Limits) {
        self.state().lock().limits = limits;
    }

    pub(crate) fn state(&self) -> &Mutex<State> {
        &self.owned.state
    }

    /// Tells `mappable` that it is mapped here.
    pub(crate) fn register(
        self: &Arc<Self>,
        mappable: Arc<dyn Mappable>,
        may_write: bool,
    ) -> Arc<Mapped> {
        let (mm, id): (Weak<Self>, _) = (Arc::downgrade(self), self.memory().next_id());
        Mapped::new(mappable, MappingHandle { mm, id, may_write })
    }

    /// Has the platform carry out `batch`, then gives back what it freed.
    pub(crate) fn commit(&self, state: &mut State, batch: Batch) -> Result<(), Lost> {
        if !state.lost
            && !batch.changes().is_empty()
            && let Err(error) = self.space.apply(batch.changes())
        {
            tracing::error!(%error, mm = self.id, "address space lost");
            state.lost = true;
        }
        if state.lost {
            state.quarantine.extend(batch.into_freed());
            return Err(Lost);
        }
        self.memory().release(&batch.into_freed());
        Ok(())
    }

    /// Takes away what is mapped in `span`. What is returned is to be dropped without the lock.
    pub(crate) fn clear(&self, state: &mut State, span: Span) -> Result<Removed, Errno> {
        let removed = state.vmas.take(span);
        let mut batch = Batch::default();
        batch.remove(&state.pmas.take(span));
        self.commit(state, batch)?;
        Ok(Removed { _vmas: removed })
    }

    /// Takes the present pages of `span` away; the mappings stay.
    pub(crate) fn evict(&self, state: &mut State, span: Span) -> Result<(), Lost> {
        let mut batch = Batch::default();
        batch.remove(&state.pmas.take(span));
        self.commit(state, batch)
    }
}

/// Mappings that are gone; dropping them may drop the last reference to a file, so that must
/// happen without the lock.
#[must_use = "to be dropped without the lock"]
#[derive(Debug, Default)]
pub(crate) struct Removed {
    _vmas: Vec<(Span, crate::vma::Vma)>,
}

impl Drop for MemoryManager {
    fn drop(&mut self) {
        // An executor may still know the space it ran last. No code runs in it, but pages must
        // not be given back while they are mapped.
        if Arc::strong_count(&self.space) > 1 {
            let mut state = self.owned.state.lock();
            let removed = self.clear(&mut state, USER);
            if removed.is_err() {
                tracing::error!(mm = self.id, "pages of a lost address space are not used again");
                state.quarantine.clear();
            }
            drop(state);
            drop(removed);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let pmas: Vec<(Span, Pma)> = state.pmas.take(USER);
        let mut frames: Vec<Span> =
            pmas.iter().filter_map(|(span, pma)| pma.frames(span.len())).collect();
        frames.append(&mut state.quarantine);
        self.memory.release(&frames);
    }
}
