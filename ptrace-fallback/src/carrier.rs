//! A carrier: the tracee of one executor in one space, which carries the registers of whichever
//! task runs there.

use abi::{FpuState, Registers, USER_MAX};
use platform::{Exit, UserState};

use crate::{
    exits::{self, Meaning},
    fpu::Fpu,
    layout, stub,
    tracee::{self, Gone, SignalInfo, Stop, Tracee},
};

/// The error code of an exception, its vector and, of a page fault, its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) vector: u8,
    pub(crate) code: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) tracee: Tracee,
    /// The state whose FPU registers are loaded.
    pub(crate) loaded: Option<u64>,
    /// The state that stopped here last, if by a fault, and that one's signal.
    pub(crate) fault: Option<(u64, i32)>,
    /// What the tracee's registers are, if known.
    regs: Option<Registers>,
    frame_top: u64,
}

impl Carrier {
    pub(crate) fn new(tracee: Tracee, executor: usize) -> Self {
        let frame_top = layout::FRAMES + layout::FRAME_BYTES * (executor as u64 + 1);
        Self { tracee, loaded: None, fault: None, regs: None, frame_top }
    }

    /// What [`crate::ptrace::Executor`] calls it while it runs.
    pub(crate) fn name(&self, pid: i32) -> u64 {
        u64::from(pid.unsigned_abs()) << 32 | u64::from(self.tracee.tid.unsigned_abs())
    }

    /// Waits until it is gone, after its stub was killed.
    pub(crate) fn reap(&self) {
        tracee::reap(self.tracee.tid);
    }

    /// Gives the tracee the general registers of `state`.
    pub(crate) fn load(&mut self, state: &UserState) -> Result<(), Gone> {
        self.fault = None;
        let wanted = acceptable(&state.regs);
        match self.regs.take() {
            // The usual answer to a call: only its result is new.
            Some(now) if !is_restart(wanted.rax) && differ_in_rax_only(&now, &wanted) => {
                self.tracee.write_rax(wanted.rax)
            }
            _ => self.tracee.write_registers(&wanted),
        }
    }

    /// Fills in the registers after a stop and says what it was. What is not the application's
    /// (a signal from elsewhere on the host, say) is swallowed and counts as an interruption.
    pub(crate) fn stopped(
        &mut self,
        stop: Stop,
        state: &mut UserState,
        fpu: &Fpu,
    ) -> Result<Exit, Gone> {
        self.tracee.read_registers(&mut state.regs).map_err(|_| Gone)?;
        self.regs = Some(state.regs);
        match stop {
            Stop::Call if state.regs.cs == Registers::USER_CS => Ok(Exit::Syscall),
            Stop::Call => Ok(Exit::Syscall32),
            _ if state.regs.cs != Registers::USER_CS => Ok(exits::GENERAL_PROTECTION),
            Stop::Other => Ok(Exit::Interrupted),
            Stop::Signal(signal) => {
                let info = self.tracee.signal_info()?;
                self.signalled(signal, info, state, fpu)
            }
        }
    }

    fn signalled(
        &mut self,
        signal: i32,
        info: SignalInfo,
        state: &mut UserState,
        fpu: &Fpu,
    ) -> Result<Exit, Gone> {
        match exits::meaning(signal, info, &mut state.regs) {
            Meaning::Exit(exit) => {
                if matches!(exit, Exit::Fault { .. }) {
                    self.fault = Some((state.id(), signal));
                }
                Ok(exit)
            }
            Meaning::Foreign => Ok(Exit::Interrupted),
            Meaning::Trap(likely) => {
                let frame = self.frame(signal, state, fpu)?;
                // The frame lies in memory that other threads can write: believe what can be.
                let vector = match (likely, frame.vector) {
                    (12, vector @ (11 | 12)) => vector,
                    (13, vector @ (4 | 5 | 10 | 11 | 13)) => vector,
                    (16, vector @ (16 | 19)) => vector,
                    _ => likely,
                };
                Ok(Exit::Trap { vector, code: frame.code & 0xffff })
            }
        }
    }

    /// Has the host write the signal frame of the present stop, which alone tells vector and
    /// error code, and stop at the handler's first instruction. General and FPU registers are
    /// lost by this: `state` holds both afterwards.
    pub(crate) fn frame(
        &mut self,
        signal: i32,
        state: &mut UserState,
        fpu: &Fpu,
    ) -> Result<Frame, Gone> {
        if self.loaded == Some(state.id()) && !state.fpu_changed {
            state.fpu = fpu.save(self.tracee)?;
            state.fpu_changed = true;
        }
        self.loaded = None;
        self.fault = None;
        self.regs = None;
        // A fresh FPU state: a protection key of the application's must not forbid the frame.
        fpu.load(self.tracee, &FpuState::default())?;
        let mut regs = acceptable(&state.regs);
        regs.rsp = self.frame_top;
        self.tracee.write_registers(&regs)?;
        self.tracee.deliver(signal)?;
        self.tracee.wait()?;
        self.tracee.read_registers(&mut regs).map_err(|_| Gone)?;
        if regs.rip != stub::handler() {
            // The host could not write the frame, and the handler is lost by that.
            return Err(Gone);
        }
        // `struct ucontext`: uc_flags, uc_link, uc_stack (40 bytes), then the registers, of
        // which err is the 20th and trapno the 21st (asm/sigcontext.h).
        let code = self.tracee.peek(regs.rdx.wrapping_add(40 + 19 * 8))?;
        let vector = self.tracee.peek(regs.rdx.wrapping_add(40 + 20 * 8))?;
        Ok(Frame { vector: u8::try_from(vector).unwrap_or(0), code })
    }
}

/// Registers that the host takes as they are: SETREGS must not stop half-way at a field that it
/// refuses, and nothing of them may select 32-bit code or a restart of a call.
fn acceptable(regs: &Registers) -> Registers {
    let selector = |value: u64| if value & 3 == 3 { value & 0xffff } else { 0 };
    let base = |value: u64| if value < layout::HOST_END { value } else { USER_MAX.get() };
    Registers {
        orig_rax: u64::MAX,
        cs: Registers::USER_CS,
        ss: Registers::USER_SS,
        ds: selector(regs.ds),
        es: selector(regs.es),
        fs: selector(regs.fs),
        gs: selector(regs.gs),
        fs_base: base(regs.fs_base),
        gs_base: base(regs.gs_base),
        ..*regs
    }
}

/// The results by which the host restarts a call when it stops for a signal, as long as `orig_rax`
/// is the number of one (`ERESTARTSYS` to `ERESTART_RESTARTBLOCK`, linux/errno.h).
fn is_restart(rax: u64) -> bool {
    (-516..=-512).contains(&rax.cast_signed())
}

fn differ_in_rax_only(now: &Registers, wanted: &Registers) -> bool {
    Registers { rax: wanted.rax, orig_rax: wanted.orig_rax, ..*now } == *wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_registers_become_acceptable_ones() {
        let hostile = Registers {
            cs: 0x23,
            ss: 0,
            ds: 0x18,
            fs: 0x1_0033,
            fs_base: 1 << 63,
            gs_base: layout::HOST_END - 1,
            orig_rax: 35,
            ..Registers::default()
        };
        let regs = acceptable(&hostile);
        assert_eq!((regs.cs, regs.ss, regs.ds, regs.fs), (0x33, 0x2b, 0, 0x33));
        assert_eq!((regs.fs_base, regs.gs_base), (USER_MAX.get(), layout::HOST_END - 1));
        assert_eq!(regs.orig_rax, u64::MAX);
    }
}
