//! What to do when application code touches a page that is absent or forbids the access.

use std::sync::Arc;

use abi::{PAGE_SIZE, UserAddr};
use platform::{Access, Protection};

use crate::{
    MapError, Mappable, MemoryManager, STACK_GUARD_BYTES, Span,
    manager::{Lost, State},
    vma::{USER, Vma},
};

/// Why a fault can't be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// The mapping forbids it: SIGSEGV, `SEGV_ACCERR`.
    Denied,
    /// The file ends before the page, or could not be read: SIGBUS, `BUS_ADRERR`.
    BeyondEnd,
    /// Only the exact access decides: ask [`platform::Context::exact_access`] and call again.
    NeedExactAccess,
    /// No memory is left: the out-of-memory killer's turn.
    NoMemory,
    /// The address space is lost: kill the process.
    Lost,
}

impl From<Lost> for Fault {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// Why a fault is not repaired yet.
pub(crate) enum Trouble {
    Fault(Fault),
    /// This has to be loaded first, without the lock.
    Load(Arc<dyn Mappable>, u64, u64),
}

impl<E: Into<Fault>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// How often a page may have to be loaded for one fault: it can be taken away again in between.
const MAX_LOADS: usize = 16;

/// How far below a stack an access makes it grow at once, where limits allow.
const STACK_STEP: u64 = 16 * PAGE_SIZE;

/// One fault.
pub(crate) struct Touch {
    pub(crate) page: Span,
    pub(crate) access: Access,
    /// The mapping that was touched, and where it lies.
    pub(crate) vma: Vma,
    pub(crate) span: Span,
}

impl Touch {
    /// What is to be brought in must be writable: it is written, or may be and perhaps is.
    pub(crate) fn writes(&self) -> bool {
        match self.access {
            Access::Write => true,
            Access::Unknown => self.vma.protection.write,
            Access::Read | Access::Execute => false,
        }
    }

    /// Where the page at `at` lies in the object.
    pub(crate) fn file_offset(&self, at: u64) -> u64 {
        self.vma.file_offset(self.span.start, at)
    }
}

impl MemoryManager {
    /// Repairs a fault, if the mapping allows the access. May wait.
    ///
    /// # Errors
    ///
    /// See [`Fault`].
    pub fn fault(&self, addr: UserAddr, access: Access) -> Result<(), Fault> {
        self.with_loads(|state| self.repair(state, addr.get(), access))
    }

    /// Does `step` with the lock, and again after each load that it asks for.
    pub(crate) fn with_loads<T>(
        &self,
        mut step: impl FnMut(&mut State) -> Result<T, Trouble>,
    ) -> Result<T, Fault> {
        for _ in 0..MAX_LOADS {
            let result = step(&mut self.state().lock());
            let (mappable, offset, len) = match result {
                Ok(done) => return Ok(done),
                Err(Trouble::Fault(fault)) => return Err(fault),
                Err(Trouble::Load(mappable, offset, len)) => (mappable, offset, len),
            };
            mappable.load(offset, len).map_err(fault_of)?;
        }
        Err(Fault::BeyondEnd)
    }

    fn repair(&self, state: &mut State, at: u64, access: Access) -> Result<(), Trouble> {
        if state.lost {
            return Err(Fault::Lost.into());
        }
        let (span, vma) = match state.vmas.segments().at(at) {
            Some((span, vma)) => (span, vma.clone()),
            None => self.grow_stack(state, at)?,
        };
        if !allows(vma.protection, access) {
            return Err(Fault::Denied.into());
        }
        self.bring_in(state, &Touch { page: Span::page(at), access, vma, span })
    }

    /// Brings in what `touch` needs; whether its mapping allows that is not asked here.
    pub(crate) fn bring_in(&self, state: &mut State, touch: &Touch) -> Result<(), Trouble> {
        let at = touch.page.start;
        match state.pmas.segments().at(at) {
            Some((span, pma)) => {
                let pma = pma.clone();
                self.raise(state, touch, span, &pma)
            }
            None => self.fill(state, touch),
        }
    }

    /// Makes the stack above `at` reach down to it.
    fn grow_stack(&self, state: &mut State, at: u64) -> Result<(Span, Vma), Fault> {
        let (stack, vma) = state.vmas.segments().from(at).ok_or(Fault::NotMapped)?;
        if !vma.grows_down || at < USER.start {
            return Err(Fault::NotMapped);
        }
        let vma = vma.clone();
        let before = state.vmas.segments().up_to(at);
        let lowest = before.map_or(USER.start, |(before, vma)| {
            let guard = if vma.is_accessible() { STACK_GUARD_BYTES } else { 0 };
            before.end.saturating_add(guard)
        });
        let lowest = lowest.max(stack.end.saturating_sub(state.limits.stack));
        let page = Span::page(at).start;
        let generous = (page - page % STACK_STEP).max(crate::span::page_up(lowest).unwrap_or(page));
        let start = generous.min(page);
        let grown = Span::new(start, stack.start);
        if page < lowest || self.check_limits(state, &vma, grown.len(), 0).is_err() {
            return Err(Fault::NotMapped);
        }
        state.vmas.insert(grown, vma);
        let (span, vma) = state.vmas.segments().at(at).ok_or(Fault::NotMapped)?;
        Ok((span, vma.clone()))
    }
}

/// True if `protection` allows `access`. Whatever gives a right lets pages be read, on x86.
fn allows(protection: Protection, access: Access) -> bool {
    match access {
        Access::Read | Access::Unknown => protection != Protection::NONE,
        Access::Write => protection.write,
        Access::Execute => protection.execute,
    }
}

pub(crate) fn fault_of(error: MapError) -> Fault {
    match error {
        MapError::BeyondEnd | MapError::Io | MapError::NotLoaded => Fault::BeyondEnd,
        MapError::NoMemory => Fault::NoMemory,
    }
}
