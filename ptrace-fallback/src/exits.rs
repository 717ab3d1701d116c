//! From what the host tells about a stop to what the contract calls it.

use abi::{Registers, UserAddr};
use platform::{Access, Exit};

use crate::{
    filter::VSYSCALL,
    tracee::{KICK, SignalInfo},
};

/// Codes of `siginfo_t` (sigaction(2)); those above 0 come from the kernel.
const SI_KERNEL: i32 = 128;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_MCEERR_AR: i32 = 4;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;
const SYS_SECCOMP: i32 = 1;
const FPE_INTDIV: i32 = 1;
const FPE_INTOVF: i32 = 2;

/// The longest instruction (SDM vol. 2, 2.3.11).
const INSTRUCTION_MAX: u64 = 15;

/// What a signal stop means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// This.
    Exit(Exit),
    /// A CPU exception whose vector only the signal frame tells; this is the likely one.
    Trap(u8),
    /// Nothing of the application's: a signal from elsewhere on the host, to be swallowed.
    Foreign,
}

/// The code segment of 64-bit code has no 32-bit sibling here: whoever got into one would have
/// met #GP on a CPU without it, so that is what the stop is taken for.
pub(crate) const GENERAL_PROTECTION: Exit = Exit::Trap { vector: 13, code: 0 };

/// One instruction was stepped.
pub(crate) const STEPPED: Exit = Exit::Trap { vector: 1, code: 0 };

/// What switching to `rip` would meet at once, where the host must not be asked to try.
pub(crate) fn before(rip: u64) -> Option<Exit> {
    if rip < 1 << 47 {
        None
    } else if rip >= 0xffff_8000_0000_0000 {
        Some(fetch_fault(rip))
    } else {
        Some(GENERAL_PROTECTION)
    }
}

fn fetch_fault(addr: u64) -> Exit {
    Exit::Fault { addr: UserAddr::new(addr), access: Access::Execute, beyond_end: false }
}

/// Reads a signal stop.
pub(crate) fn meaning(signal: i32, info: SignalInfo, regs: &mut Registers) -> Meaning {
    if signal == KICK && info.code <= 0 {
        return Meaning::Exit(Exit::Interrupted);
    }
    if info.code <= 0 {
        return Meaning::Foreign;
    }
    match (signal, info.code) {
        (libc::SIGSEGV, _) if regs.rip >> 12 == VSYSCALL >> 12 => {
            Meaning::Exit(fetch_fault(regs.rip))
        }
        (libc::SIGSEGV, SEGV_MAPERR | SEGV_ACCERR) => fault(info, regs, false),
        (libc::SIGSEGV, _) => Meaning::Trap(13),
        (libc::SIGBUS, BUS_ADRERR..=BUS_MCEERR_AR) => fault(info, regs, true),
        (libc::SIGBUS, BUS_ADRALN) => Meaning::Exit(Exit::Trap { vector: 17, code: 0 }),
        (libc::SIGBUS, _) => Meaning::Trap(12),
        (libc::SIGILL, _) => Meaning::Exit(Exit::Trap { vector: 6, code: 0 }),
        (libc::SIGFPE, FPE_INTDIV | FPE_INTOVF) => Meaning::Exit(Exit::Trap { vector: 0, code: 0 }),
        (libc::SIGFPE, _) => Meaning::Trap(16),
        (libc::SIGTRAP, SI_KERNEL) => Meaning::Exit(Exit::Trap { vector: 3, code: 0 }),
        (libc::SIGTRAP, TRAP_BRKPT | TRAP_TRACE | TRAP_HWBKPT) => {
            Meaning::Exit(Exit::Trap { vector: 1, code: 0 })
        }
        (libc::SIGSYS, SYS_SECCOMP) => Meaning::Exit(vsyscall(info, regs)),
        _ => Meaning::Foreign,
    }
}

/// The filter refused the host's emulation of a vsyscall, which has done the `ret` already: take
/// that back. The application meets what it meets on hosts without that page.
fn vsyscall(info: SignalInfo, regs: &mut Registers) -> Exit {
    regs.rip = info.addr;
    regs.rsp = regs.rsp.wrapping_sub(8);
    regs.orig_rax = u64::MAX;
    fetch_fault(info.addr)
}

fn fault(info: SignalInfo, regs: &Registers, beyond_end: bool) -> Meaning {
    let access = access(info, regs.rip, beyond_end);
    Meaning::Exit(Exit::Fault { addr: UserAddr::new(info.addr), access, beyond_end })
}

/// What siginfo and rip alone tell for certain.
fn access(info: SignalInfo, rip: u64, beyond_end: bool) -> Access {
    let may_be_fetch = info.addr.wrapping_sub(rip) < INSTRUCTION_MAX;
    if beyond_end {
        return Access::Unknown;
    }
    match info.code {
        // The mapping is there, so it allows something, and on x86 that includes loads (no
        // mapping here has no rights at all): a data access that fails is a store.
        SEGV_ACCERR if !may_be_fetch => Access::Write,
        // The page of the instruction itself is not there: it can't have been executed.
        SEGV_MAPERR if info.addr >> 12 == rip >> 12 => Access::Execute,
        _ => Access::Unknown,
    }
}

/// What an exception's error code tells (SDM vol. 3, 4.7).
pub(crate) fn access_of_code(code: u64) -> Access {
    if code & 0x10 != 0 {
        Access::Execute
    } else if code & 2 != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access_at(code: i32, addr: u64, rip: u64) -> Access {
        access(SignalInfo { code, addr }, rip, false)
    }

    #[test]
    fn the_access_is_named_only_where_it_is_certain() {
        assert_eq!(access_at(SEGV_ACCERR, 0x5000, 0x1000), Access::Write);
        assert_eq!(access_at(SEGV_ACCERR, 0x100e, 0x1000), Access::Unknown);
        assert_eq!(access_at(SEGV_MAPERR, 0x1000, 0x1000), Access::Execute);
        assert_eq!(access_at(SEGV_MAPERR, 0x2000, 0x1ffe), Access::Unknown);
        assert_eq!(access_at(SEGV_MAPERR, 0x5000, 0x1000), Access::Unknown);
    }

    #[test]
    fn addresses_that_no_program_can_run_at_are_answered_without_the_host() {
        assert_eq!(before(0x7fff_ffff_ffff), None);
        assert_eq!(before(0x8000_0000_0000), Some(GENERAL_PROTECTION));
        assert_eq!(before(VSYSCALL), Some(fetch_fault(VSYSCALL)));
    }
}
