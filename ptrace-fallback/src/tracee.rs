//! ptrace requests and waiting: the only place that makes them. All but [`kill`], [`kick`] and
//! [`reap`] must come from the thread that seized the tracee.

use std::{ffi::c_void, io, mem::offset_of, ptr};

use abi::Registers;

/// The signal of a kick. Below 32, so that kicks merge instead of queueing.
pub(crate) const KICK: i32 = libc::SIGUSR2;

// linux/ptrace.h, sys/ptrace.h; not all are in libc.
const PEEKDATA: i64 = 2;
const POKEUSER: i64 = 6;
const CONT: i64 = 7;
const GETREGS: i64 = 12;
const SETREGS: i64 = 13;
const SYSCALL: i64 = 24;
const SYSEMU: i64 = 31;
const SYSEMU_SINGLESTEP: i64 = 32;
const GETSIGINFO: i64 = 0x4202;
const GETREGSET: i64 = 0x4204;
const SETREGSET: i64 = 0x4205;
const SEIZE: i64 = 0x4206;
const INTERRUPT: i64 = 0x4207;
const OPTIONS: usize = 0x10_0001; // EXITKILL | TRACESYSGOOD
const NT_X86_XSTATE: usize = 0x202;

/// The tracee is no more (or is not ours).
#[derive(Debug)]
pub(crate) struct Gone;

/// How a tracee stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a system call that was not made (SYSEMU), or at its entry or exit (attach).
    Call,
    /// Before the delivery of a signal.
    Signal(i32),
    /// For `PTRACE_INTERRUPT` or a group stop.
    Other,
}

/// What the host tells about a signal (`siginfo_t`, sigaction(2)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalInfo {
    pub(crate) code: i32,
    /// `si_addr`, or `si_call_addr` of a SIGSYS.
    pub(crate) addr: u64,
}

/// A thread of a stub that an executor has seized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracee {
    pub(crate) tid: i32,
}

impl Tracee {
    /// Seizes a carrier that has just been cloned, and stops it where its filter is in force.
    pub(crate) fn seize(tid: i32, parked: u64) -> io::Result<Self> {
        let this = Self { tid };
        this.request(SEIZE, 0, OPTIONS)?;
        this.request(INTERRUPT, 0, 0)?;
        // At most: the interruption, entry and exit of seccomp, entry of pause.
        for _ in 0..8 {
            let stop = this.wait().map_err(|Gone| io::Error::from_raw_os_error(libc::ESRCH))?;
            let mut regs = Registers::default();
            this.read_registers(&mut regs)?;
            if regs.rip == parked && stop == Stop::Other {
                return Ok(this);
            }
            if regs.rip == parked {
                // At the entry of the pause: let it begin and be interrupted.
                this.request(INTERRUPT, 0, 0)?;
                this.request(CONT, 0, 0)?;
            } else {
                this.request(SYSCALL, 0, 0)?;
            }
        }
        Err(io::Error::other("a fresh carrier does not reach its pause"))
    }

    /// Runs application code until it stops. Never lets a call reach the host.
    pub(crate) fn resume(self, single_step: bool) -> Result<(), Gone> {
        let request = if single_step { SYSEMU_SINGLESTEP } else { SYSEMU };
        self.request(request, 0, 0).map_err(|_| Gone)
    }

    /// Runs it as an ordinary process: what SYSEMU is there to prevent.
    #[cfg(test)]
    pub(crate) fn run_unprotected(self) -> Result<(), Gone> {
        self.request(CONT, 0, 0).map_err(|_| Gone)
    }

    /// Has the host deliver `signal`, and stop at the first instruction of its handler.
    pub(crate) fn deliver(self, signal: i32) -> Result<(), Gone> {
        let signal = usize::try_from(signal).unwrap_or(0);
        self.request(SYSEMU_SINGLESTEP, 0, signal).map_err(|_| Gone)
    }

    /// Waits until it stops (wait4, for as long as application code runs).
    pub(crate) fn wait(self) -> Result<Stop, Gone> {
        let status = wait(self.tid).ok_or(Gone)?;
        if !libc::WIFSTOPPED(status) {
            return Err(Gone);
        }
        let signal = status >> 8;
        Ok(if signal == libc::SIGTRAP | 0x80 {
            Stop::Call
        } else if signal > 0xff {
            Stop::Other
        } else {
            Stop::Signal(signal)
        })
    }

    pub(crate) fn read_registers(self, regs: &mut Registers) -> io::Result<()> {
        self.request(GETREGS, 0, ptr::from_mut(regs).addr())
    }

    pub(crate) fn write_registers(self, regs: &Registers) -> Result<(), Gone> {
        self.request(SETREGS, 0, ptr::from_ref(regs).addr()).map_err(|_| Gone)
    }

    pub(crate) fn write_rax(self, rax: u64) -> Result<(), Gone> {
        let value = usize::try_from(rax).map_err(|_| Gone)?;
        self.request(POKEUSER, offset_of!(Registers, rax), value).map_err(|_| Gone)
    }

    pub(crate) fn signal_info(self) -> Result<SignalInfo, Gone> {
        let mut info = [0_u8; 128];
        self.request(GETSIGINFO, 0, info.as_mut_ptr().addr()).map_err(|_| Gone)?;
        let word = |at: usize| info.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let long = |at: usize| info.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        Ok(SignalInfo {
            code: i32::from_le_bytes(word(8).unwrap_or_default()),
            addr: u64::from_le_bytes(long(16).unwrap_or_default()),
        })
    }

    /// Reads the FPU image; returns its length, or how much of it fits.
    pub(crate) fn read_fpu(self, image: &mut [u8]) -> Result<usize, Gone> {
        let mut vector =
            libc::iovec { iov_base: image.as_mut_ptr().cast::<c_void>(), iov_len: image.len() };
        self.request(GETREGSET, NT_X86_XSTATE, ptr::from_mut(&mut vector).addr())
            .map_err(|_| Gone)?;
        Ok(vector.iov_len)
    }

    /// Writes a whole FPU image. `Ok(false)`: the host finds it invalid.
    pub(crate) fn write_fpu(self, image: &mut [u8]) -> Result<bool, Gone> {
        let mut vector =
            libc::iovec { iov_base: image.as_mut_ptr().cast::<c_void>(), iov_len: image.len() };
        match self.request(SETREGSET, NT_X86_XSTATE, ptr::from_mut(&mut vector).addr()) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(Gone),
            Err(_) => Ok(false),
        }
    }

    /// Reads a word of the tracee's memory.
    pub(crate) fn peek(self, addr: u64) -> Result<u64, Gone> {
        let mut word = 0_u64;
        let addr = usize::try_from(addr).unwrap_or(usize::MAX);
        self.request(PEEKDATA, addr, ptr::from_mut(&mut word).addr()).map_err(|_| Gone)?;
        Ok(word)
    }

    /// `data` is a number, or the address of an object of ours that fits the request.
    fn request(self, request: i64, addr: usize, data: usize) -> io::Result<()> {
        // SAFETY: ptrace(2) writes at most to what `data` points to, which each caller above
        // made of an exclusive reference to an object of the request's type.
        let result = unsafe { libc::syscall(libc::SYS_ptrace, request, self.tid, addr, data) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Waits for a change of exactly this child or tracee; `None` if there is none to wait for.
fn wait(id: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: writes one int.
        let result = unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
        if result == id {
            return Some(status);
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Waits until a process or thread that was killed is gone.
pub(crate) fn reap(id: i32) {
    while let Some(status) = wait(id) {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return;
        }
    }
}

/// Kills the process `pid`, which must not have been reaped.
pub(crate) fn kill(pid: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Interrupts the thread `tid` of process `pid`.
pub(crate) fn kick(pid: i32, tid: i32) {
    // SAFETY: touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, KICK) };
}
