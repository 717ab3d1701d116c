//! Running application code.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use abi::{FpuState, Registers, UserAddr};

use crate::{AddressSpace, PlatformError};

/// What was tried at a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
    /// The platform can't tell cheaply; [`Context::exact_access`] can.
    Unknown,
}

/// Why application code stopped. None of these is an error: each is the ordinary end of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It asked for a system call (`syscall`): the number is in `orig_rax`, the arguments are in
    /// their registers, `rip` is behind the instruction, `rax` is to be set by the kernel.
    Syscall,
    /// It asked for a system call by a 32-bit way (`int 0x80`, `sysenter`), which is not served.
    Syscall32,
    /// It touched a page that is absent or forbids the access.
    Fault {
        /// The address touched.
        addr: UserAddr,
        /// What was tried.
        access: Access,
        /// True if the mapping was there but its file ends before the page (SIGBUS on Linux).
        beyond_end: bool,
    },
    /// It raised another CPU exception.
    Trap {
        /// The vector, as the CPU numbers it (SDM vol. 3, 6.15): 0 divide, 1 debug, 3 breakpoint,
        /// 4 overflow, 6 invalid opcode, 12 stack, 13 general protection, 16 x87, 17 alignment,
        /// 19 SIMD.
        vector: u8,
        /// The error code that the CPU pushed, 0 where there is none.
        code: u64,
    },
    /// [`crate::Platform::kick`] was called; it may also happen without cause.
    Interrupted,
}

/// The registers of one application thread, as its owner keeps them while it does not run.
#[derive(Debug)]
pub struct UserState {
    /// The general registers. Exact after each switch; changes take effect at the next one.
    pub regs: Registers,
    /// The FPU image. Exact only after [`Context::save_fpu`]; set `fpu_changed` after changing it.
    pub fpu: FpuState,
    /// Set by the owner when it has changed `fpu`; cleared by the platform once it is loaded.
    pub fpu_changed: bool,
    /// Run one instruction, then stop with a debug trap (vector 1). If that instruction asks for
    /// a system call, the trap follows when the call is done, at the next switch.
    pub single_step: bool,
    /// For platforms: a debug trap is due before the next instruction, because the last one was
    /// stepped and ended in [`Exit::Syscall`].
    pub step_due: bool,
    id: u64,
    alive: Arc<()>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl UserState {
    /// Makes the state of a new thread.
    #[must_use]
    pub fn new(regs: Registers, fpu: FpuState) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self {
            regs,
            fpu,
            fpu_changed: true,
            single_step: false,
            step_due: false,
            id,
            alive: Arc::new(()),
        }
    }

    /// A number that no other state of this process has: by it a platform knows whose FPU
    /// registers are loaded.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// A reference that dies with this state: by it a platform forgets what it kept for it.
    #[must_use]
    pub fn watch(&self) -> Weak<()> {
        Arc::downgrade(&self.alive)
    }
}

/// What a task is while nothing runs. The number and the reference are of this process: new ones
/// after a load, when the platform loads the FPU image again.
impl state::Save for UserState {
    const PRINT: u64 = state::print::text("registers, fpu, single step, step due");

    fn save(&self, w: &mut state::Writer<'_>) -> state::Result<()> {
        self.regs.save(w)?;
        self.fpu.save(w)?;
        self.single_step.save(w)?;
        self.step_due.save(w)
    }
}

impl state::Load for UserState {
    fn load(r: &mut state::Reader<'_>) -> state::Result<Self> {
        let mut user = Self::new(Registers::load(r)?, FpuState::load(r)?);
        user.single_step = bool::load(r)?;
        user.step_due = bool::load(r)?;
        Ok(user)
    }
}

/// What one executor needs to run application code. Used on the executor's host thread only;
/// methods take `&self` because all tasks of the executor share it.
pub trait Context: Send + Sync {
    /// Runs application code until it stops, and says why.
    ///
    /// # Errors
    ///
    /// When this space can never run code again (its stub was killed by the host, say): the
    /// kernel then kills the processes in it, the sandbox goes on.
    fn switch(
        &self,
        space: &Arc<dyn AddressSpace>,
        state: &mut UserState,
    ) -> Result<Exit, PlatformError>;

    /// Makes `state.fpu` exact, if the registers of that thread are still loaded here. To be
    /// called before the image is read (signal frame, clone, checkpoint) and before the thread
    /// leaves this executor.
    ///
    /// # Errors
    ///
    /// As for [`Context::switch`].
    fn save_fpu(&self, state: &mut UserState) -> Result<(), PlatformError>;

    /// Tells the exact access of the fault with which the last switch of `state` ended. To be
    /// called before `state` is changed. [`Access::Unknown`]: there is no such fault any more;
    /// switch again. It may also find that the instruction can be completed now: then it has been,
    /// and the answer is [`Access::Read`], which is allowed.
    ///
    /// # Errors
    ///
    /// As for [`Context::switch`].
    fn exact_access(
        &self,
        space: &Arc<dyn AddressSpace>,
        state: &mut UserState,
    ) -> Result<Access, PlatformError>;
}
