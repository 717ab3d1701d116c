//! Signals (signal(7), sigaction(2)).

use core::fmt;

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal;)*) => {
        #[expect(missing_docs, reason = "each is the signal of its name, signal(7)")]
        impl Signal {
            $(pub const $name: Self = Self($number);)*

            /// The name, for real-time signals `SIGRT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "SIGRT",
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1;
    SIGINT = 2;
    SIGQUIT = 3;
    SIGILL = 4;
    SIGTRAP = 5;
    SIGABRT = 6;
    SIGBUS = 7;
    SIGFPE = 8;
    SIGKILL = 9;
    SIGUSR1 = 10;
    SIGSEGV = 11;
    SIGUSR2 = 12;
    SIGPIPE = 13;
    SIGALRM = 14;
    SIGTERM = 15;
    SIGSTKFLT = 16;
    SIGCHLD = 17;
    SIGCONT = 18;
    SIGSTOP = 19;
    SIGTSTP = 20;
    SIGTTIN = 21;
    SIGTTOU = 22;
    SIGURG = 23;
    SIGXCPU = 24;
    SIGXFSZ = 25;
    SIGVTALRM = 26;
    SIGPROF = 27;
    SIGWINCH = 28;
    SIGIO = 29;
    SIGPWR = 30;
    SIGSYS = 31;
}

/// What a signal does when its action is `SIG_DFL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Ends the process.
    Terminate,
    /// Ends the process with a core dump.
    Core,
    /// Does nothing.
    Ignore,
    /// Stops the process.
    Stop,
    /// Continues a stopped process.
    Continue,
}

impl Signal {
    /// The first real-time signal of the kernel.
    pub const RT_MIN: u8 = 32;
    /// The last signal.
    pub const MAX: u8 = 64;

    /// Checks a number; `None` outside 1 to 64.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|n| (1..=Self::MAX).contains(n)).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// True for signals that queue (32 to 64).
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::RT_MIN
    }

    /// True for `SIGKILL` and `SIGSTOP`, which can't be caught, blocked or ignored.
    #[must_use]
    pub const fn is_unblockable(self) -> bool {
        self.0 == Self::SIGKILL.0 || self.0 == Self::SIGSTOP.0
    }

    /// What it does by default (signal(7), "Standard signals").
    #[must_use]
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            Self::SIGSTOP | Self::SIGTSTP | Self::SIGTTIN | Self::SIGTTOU => DefaultAction::Stop,
            Self::SIGQUIT
            | Self::SIGILL
            | Self::SIGTRAP
            | Self::SIGABRT
            | Self::SIGBUS
            | Self::SIGFPE
            | Self::SIGSEGV
            | Self::SIGXCPU
            | Self::SIGXFSZ
            | Self::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_realtime() { write!(f, "SIGRT{}", self.0) } else { f.write_str(self.name()) }
    }
}

/// A set of signals: bit N-1 is signal N, as in `sigset_t` of the kernel.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// `SIGKILL` and `SIGSTOP`.
    pub const UNBLOCKABLE: Self = Self::of(Signal::SIGKILL).union(Self::of(Signal::SIGSTOP));

    /// The set of one signal.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        Self(1 << (signal.0 - 1))
    }

    /// True if `signal` is in it.
    #[must_use]
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & Self::of(signal).0 != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True if it holds none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest signal in it.
    #[must_use]
    pub fn first(self) -> Option<Signal> {
        Signal::new(u64::from(self.0.trailing_zeros()) + 1)
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sigset:{:#x}", self.0)
    }
}

/// `struct kernel_sigaction` of x86-64.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct SigAction {
    /// Address, or [`SigAction::DEFAULT`] or [`SigAction::IGNORE`].
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: u64,
}

#[expect(missing_docs, reason = "each is the flag of its name, sigaction(2)")]
impl SigAction {
    pub const DEFAULT: u64 = 0;
    pub const IGNORE: u64 = 1;
    pub const SA_NOCLDSTOP: u64 = 1;
    pub const SA_NOCLDWAIT: u64 = 2;
    pub const SA_SIGINFO: u64 = 4;
    pub const SA_RESTORER: u64 = 0x0400_0000;
    pub const SA_ONSTACK: u64 = 0x0800_0000;
    pub const SA_RESTART: u64 = 0x1000_0000;
    pub const SA_NODEFER: u64 = 0x4000_0000;
    pub const SA_RESETHAND: u64 = 0x8000_0000;
}

/// Origins of a signal (`si_code`, sigaction(2)).
#[expect(missing_docs, reason = "each is the code of its name, sigaction(2)")]
pub mod code {
    pub const SI_USER: i32 = 0;
    pub const SI_KERNEL: i32 = 0x80;
    pub const SI_QUEUE: i32 = -1;
    pub const SI_TIMER: i32 = -2;
    pub const SI_MESGQ: i32 = -3;
    pub const SI_ASYNCIO: i32 = -4;
    pub const SI_SIGIO: i32 = -5;
    pub const SI_TKILL: i32 = -6;
    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const BUS_ADRALN: i32 = 1;
    pub const BUS_ADRERR: i32 = 2;
    pub const FPE_INTDIV: i32 = 1;
    pub const FPE_FLTDIV: i32 = 3;
    pub const FPE_FLTOVF: i32 = 4;
    pub const FPE_FLTUND: i32 = 5;
    pub const FPE_FLTRES: i32 = 6;
    pub const FPE_FLTINV: i32 = 7;
    pub const ILL_ILLOPN: i32 = 2;
    pub const TRAP_BRKPT: i32 = 1;
    pub const TRAP_TRACE: i32 = 2;
    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_DUMPED: i32 = 3;
    pub const CLD_TRAPPED: i32 = 4;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
    pub const SYS_SECCOMP: i32 = 1;
}

/// What a signal carries (`siginfo_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// The signal.
    pub signal: Signal,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// The rest, by origin.
    pub fields: SigFields,
}

/// The part of `siginfo_t` that depends on the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is that of sigaction(2)")]
pub enum SigFields {
    /// Nothing.
    None,
    /// From kill(2) or tkill(2).
    Kill { pid: u32, uid: u32 },
    /// From sigqueue(3), or a message queue.
    Queue { pid: u32, uid: u32, value: u64 },
    /// From a POSIX timer.
    Timer { id: i32, overrun: i32, value: u64 },
    /// From a child that changed its state.
    Child { pid: u32, uid: u32, status: i32, utime: i64, stime: i64 },
    /// From a fault.
    Fault { addr: u64 },
    /// From `F_SETSIG`.
    Poll { band: i64, fd: i32 },
    /// From seccomp(2).
    Sys { addr: u64, number: i32, arch: u32 },
    /// Bytes 16 to 127 as `rt_sigqueueinfo(2)` gave them.
    Raw([u8; 112]),
}

impl SigInfo {
    /// Bytes of `siginfo_t`.
    pub const BYTES: usize = 128;

    /// A signal of the kernel without further data.
    #[must_use]
    pub const fn kernel(signal: Signal) -> Self {
        Self { signal, errno: 0, code: code::SI_KERNEL, fields: SigFields::None }
    }

    /// A signal by kill(2).
    #[must_use]
    pub const fn user(signal: Signal, pid: u32, uid: u32) -> Self {
        Self { signal, errno: 0, code: code::SI_USER, fields: SigFields::Kill { pid, uid } }
    }

    /// A signal by a fault at `addr`.
    #[must_use]
    pub const fn fault(signal: Signal, code: i32, addr: u64) -> Self {
        Self { signal, errno: 0, code, fields: SigFields::Fault { addr } }
    }

    /// As an application sees it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in out.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        put(0, &i32::from(self.signal.0).to_le_bytes());
        put(4, &self.errno.to_le_bytes());
        put(8, &self.code.to_le_bytes());
        match self.fields {
            SigFields::None => {}
            SigFields::Kill { pid, uid } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
            }
            SigFields::Queue { pid, uid, value } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            SigFields::Timer { id, overrun, value } => {
                put(16, &id.to_le_bytes());
                put(20, &overrun.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            SigFields::Child { pid, uid, status, utime, stime } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &status.to_le_bytes());
                put(32, &utime.to_le_bytes());
                put(40, &stime.to_le_bytes());
            }
            SigFields::Fault { addr } => put(16, &addr.to_le_bytes()),
            SigFields::Poll { band, fd } => {
                put(16, &band.to_le_bytes());
                put(24, &fd.to_le_bytes());
            }
            SigFields::Sys { addr, number, arch } => {
                put(16, &addr.to_le_bytes());
                put(24, &number.to_le_bytes());
                put(28, &arch.to_le_bytes());
            }
            SigFields::Raw(bytes) => put(16, &bytes),
        }
        out
    }

    /// As `rt_sigqueueinfo(2)` gives it, for `signal`.
    #[must_use]
    pub fn from_bytes(signal: Signal, bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.iter_mut().zip(bytes.iter().skip(at)).for_each(|(to, from)| *to = *from);
            i32::from_le_bytes(word)
        };
        let mut raw = [0; 112];
        raw.iter_mut().zip(bytes.iter().skip(16)).for_each(|(to, from)| *to = *from);
        Self { signal, errno: word(4), code: word(8), fields: SigFields::Raw(raw) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siginfo_has_the_layout_of_linux() {
        let info = SigInfo::user(Signal::SIGUSR1, 7, 9).to_bytes();
        assert_eq!(info[0..4], 10_u32.to_le_bytes());
        assert_eq!(info[16..20], 7_u32.to_le_bytes());
        assert_eq!(info[20..24], 9_u32.to_le_bytes());
        assert_eq!(SigInfo::from_bytes(Signal::SIGUSR1, &info).to_bytes(), info);
    }

    #[test]
    fn only_1_to_64_are_signals() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(SigSet::of(Signal::SIGHUP).first(), Some(Signal::SIGHUP));
        assert_eq!(SigSet::EMPTY.first(), None);
    }
}
