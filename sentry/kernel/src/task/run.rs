//! The run loop: application code, system call, signal, again.

use std::sync::Arc;

use abi::{Errno, SigInfo, Signal, UserAddr, signal::code};
use mm::Fault;
use platform::{Access, Exit, PlatformError};
use sched::{Body, Boundary, Fiber, Leave};

use super::{Cx, Task};
use crate::{ExitStatus, signal};

/// Page-fault error code bits (SDM vol. 3, 4.7): write, user, instruction fetch.
const PF_WRITE: u64 = 2;
const PF_USER: u64 = 4;
const PF_FETCH: u64 = 16;
/// Vectors (SDM vol. 3, 6.15).
const VECTOR_PAGE_FAULT: u64 = 14;

impl Body for Task {
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave {
        let user = self.user.lock().take();
        let (Some(user), Some(mm), Some(files)) = (user, self.mm(), self.files()) else {
            return Leave::Exit;
        };
        let context = match self.kernel.context(fiber.executor()) {
            Ok(context) => context,
            Err(error) => {
                tracing::error!(%error, executor = fiber.executor(), "no context");
                self.process
                    .kill_all(ExitStatus::Signaled { signal: Signal::SIGKILL, core: false });
                return Leave::Exit;
            }
        };
        let mut cx = Cx {
            task: &self,
            fiber,
            user,
            mm,
            files,
            context,
            restart: None,
            exit: None,
            keep_registers: false,
            fault: (0, 0, 0),
        };
        cx.run()
    }
}

impl Cx<'_> {
    fn run(&mut self) -> Leave {
        self.finish_vfork_wait();
        self.wait_while_stopped();
        loop {
            self.boundary_work();
            if self.leaving() {
                self.exit();
                return Leave::Exit;
            }
            if self.fiber.boundary() == Boundary::Leave {
                return self.leave();
            }
            match self.run_application() {
                None => {}
                Some(Ok(exit)) => self.handle_exit(exit),
                Some(Err(error)) => {
                    tracing::warn!(tid = %self.task.tid(), %error, "address space lost");
                    let status = ExitStatus::Signaled { signal: Signal::SIGKILL, core: false };
                    self.exit_group(status);
                }
            }
        }
    }

    /// Runs application code until it stops; `None` if it may not run now. The space is let go
    /// before the exit is handled, which may be the end of it.
    fn run_application(&mut self) -> Option<Result<Exit, PlatformError>> {
        let space = self.mm.space().clone();
        let (context, user) = (self.context, &mut self.user);
        self.fiber.enter_user(|| context.switch(&space, user))
    }

    /// Gives the stack back; the task goes on later, here or elsewhere.
    fn leave(&mut self) -> Leave {
        let _ = self.save_fpu();
        let fresh = platform::UserState::new(self.user.regs, abi::FpuState::default());
        let user = std::mem::replace(&mut *self.user, fresh);
        *self.task.user.lock() = Some(Box::new(user));
        Leave::Requeue
    }

    /// What is to be done before application code runs: stop, signals, end.
    fn boundary_work(&mut self) {
        let entity = self.fiber.entity();
        if entity.interrupt_pending() || self.restart.is_some() {
            entity.clear_interrupt();
            self.wait_while_stopped();
            self.deliver_signals();
        }
    }

    fn handle_exit(&mut self, exit: Exit) {
        match exit {
            Exit::Syscall => self.syscall(),
            Exit::Syscall32 => {
                self.force(SigInfo::fault(Signal::SIGSEGV, code::SI_KERNEL, 0));
            }
            Exit::Fault { addr, access, beyond_end } => self.page_fault(addr, access, beyond_end),
            Exit::Trap { vector, code } => self.trap(vector, code),
            Exit::Interrupted => {}
        }
    }

    fn syscall(&mut self) {
        let number = self.user.regs.orig_rax;
        let args = self.user.regs.syscall_args();
        self.keep_registers = false;
        let table = &self.task.kernel.syscalls;
        let result = table.call(self, number, args);
        if self.keep_registers {
            return;
        }
        match result {
            Ok(value) => self.user.regs.rax = value,
            Err(errno) if errno.is_restart() => {
                self.user.regs.rax = Errno::EINTR.to_return_value();
                self.restart = Some(errno);
            }
            Err(errno) => self.user.regs.rax = errno.to_return_value(),
        }
    }

    fn page_fault(&mut self, addr: UserAddr, access: Access, beyond_end: bool) {
        let mut access = access;
        loop {
            let result = self.mm.fault(addr, access);
            let (signal, code) = match result {
                Ok(()) => return,
                Err(Fault::NeedExactAccess) => {
                    let space = self.mm.space().clone();
                    match self.context.exact_access(&space, &mut self.user) {
                        // There is no such fault any more: run on.
                        Ok(Access::Unknown) => return,
                        Ok(exact) if exact != access => {
                            access = exact;
                            continue;
                        }
                        _ => (Signal::SIGSEGV, code::SEGV_ACCERR),
                    }
                }
                Err(Fault::NotMapped) => (Signal::SIGSEGV, code::SEGV_MAPERR),
                Err(Fault::Denied) if beyond_end => (Signal::SIGBUS, code::BUS_ADRERR),
                Err(Fault::Denied) => (Signal::SIGSEGV, code::SEGV_ACCERR),
                Err(Fault::BeyondEnd) => (Signal::SIGBUS, code::BUS_ADRERR),
                Err(Fault::NoMemory) => {
                    tracing::warn!(tid = %self.task.tid(), "out of memory");
                    let status = ExitStatus::Signaled { signal: Signal::SIGKILL, core: false };
                    return self.exit_group(status);
                }
                Err(Fault::Lost) => {
                    let status = ExitStatus::Signaled { signal: Signal::SIGKILL, core: false };
                    return self.exit_group(status);
                }
            };
            let kind = match access {
                Access::Write => PF_WRITE,
                Access::Execute => PF_FETCH,
                Access::Read | Access::Unknown => 0,
            };
            self.fault = (PF_USER | kind, VECTOR_PAGE_FAULT, addr.get());
            return self.force(SigInfo::fault(signal, code, addr.get()));
        }
    }

    fn trap(&mut self, vector: u8, error: u64) {
        let rip = self.user.regs.rip;
        let kernel = SigInfo::kernel;
        let info = match vector {
            0 => SigInfo::fault(Signal::SIGFPE, code::FPE_INTDIV, rip),
            1 => SigInfo::fault(Signal::SIGTRAP, code::TRAP_TRACE, rip),
            3 => kernel(Signal::SIGTRAP),
            6 => SigInfo::fault(Signal::SIGILL, code::ILL_ILLOPN, rip),
            12 => kernel(Signal::SIGBUS),
            16 | 19 => {
                let code = self.float_error(vector);
                SigInfo::fault(Signal::SIGFPE, code, rip)
            }
            17 => SigInfo::fault(Signal::SIGBUS, code::BUS_ADRALN, 0),
            _ => kernel(Signal::SIGSEGV),
        };
        self.fault = (error, u64::from(vector), 0);
        self.force(info);
    }

    /// Which floating-point exception happened: unmasked bits of the status word (x87) or of
    /// MXCSR (SDM vol. 1, 8.1.3 and 10.2.3).
    fn float_error(&mut self, vector: u8) -> i32 {
        let _ = self.save_fpu();
        let image = self.user.fpu.as_bytes();
        let word = |at: usize| {
            let byte = |at| image.get(at).copied().map_or(0, u32::from);
            byte(at) | byte(at + 1) << 8
        };
        let raised = if vector == 16 {
            word(2) & !word(0)
        } else {
            let mxcsr = word(24);
            mxcsr & !(mxcsr >> 7)
        };
        match raised & 0x3f {
            bits if bits & 0x01 != 0 => code::FPE_FLTINV,
            bits if bits & 0x04 != 0 => code::FPE_FLTDIV,
            bits if bits & 0x08 != 0 => code::FPE_FLTOVF,
            bits if bits & 0x12 != 0 => code::FPE_FLTUND,
            bits if bits & 0x20 != 0 => code::FPE_FLTRES,
            _ => code::FPE_FLTINV,
        }
    }

    /// Sends a signal that this task has caused itself.
    pub fn force(&mut self, info: SigInfo) {
        signal::force(self, info);
    }
}
