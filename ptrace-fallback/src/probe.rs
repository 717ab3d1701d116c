//! Is this host fit? Found out at start, where an error can still say why.

use std::sync::Arc;

use abi::{FpuState, Registers};
use platform::{AddressSpace, Context, Exit, PlatformError, UserState};

use crate::{
    context::PtraceContext,
    ptrace::Shared,
    service::Service,
    shadow::Shadow,
    space::{Space, SpaceCore},
    stub,
};

/// A number that no host call has.
const NUMBER: u64 = 0x7072_6f62;

/// Runs one instruction of a stub under SYSEMU: its `syscall`, which must not reach the host.
pub(crate) fn probe(shared: &Arc<Shared>, template: &mut Service) -> Result<(), PlatformError> {
    let core = SpaceCore::clone_from(shared, template, Shadow::default())?;
    let space: Arc<dyn AddressSpace> = Arc::new(Space::new(core));
    let context = PtraceContext::new(shared.clone(), 0);
    let regs = Registers { rax: NUMBER, ..Registers::for_exec(stub::parked() - 2, 0) };
    let mut state = UserState::new(regs, FpuState::initial(shared.fpu.size_bytes()));
    // A stray signal of the host's may come between.
    for _ in 0..100 {
        match context.switch(&space, &mut state)? {
            Exit::Syscall if state.regs.orig_rax == NUMBER => return Ok(()),
            Exit::Interrupted => {}
            _ => break,
        }
    }
    Err(PlatformError::Host {
        what: "PTRACE_SYSEMU",
        source: std::io::ErrorKind::Unsupported.into(),
    })
}
