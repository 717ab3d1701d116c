//! Unsafe room 5: starting a process in new namespaces, and the few other calls of process start that have
//! no safe form. Nothing else of `runsc` needs `unsafe`.
//!
//! A new process waits at its *gate*, before exec, until its parent has prepared what can only be done from
//! outside (id maps, cgroups, the record of its pid). A parent that dies instead closes the gate, and the
//! process ends.
#![expect(unsafe_code, reason = "room 5: clone and exec, unshare, signalfd, inherited descriptors")]

use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// The first descriptor number that a new process gets beyond stdio.
pub(crate) const FIRST_FD: RawFd = 3;

/// Kinds of namespaces to make for a new process (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespaces(libc::c_int);

impl Namespaces {
    /// No new one: only an ordinary child.
    pub(crate) const NONE: Self = Self(0);
    /// What both Sentry and Gofer always get.
    pub(crate) const PRIVATE: Self =
        Self(libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS);
    /// A user namespace.
    pub(crate) const USER: Self = Self(libc::CLONE_NEWUSER);
    /// An empty network namespace.
    pub(crate) const NETWORK: Self = Self(libc::CLONE_NEWNET);

    /// Both sets.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is all of `other` in here?
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What to start: `runsc` itself with other arguments.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// All arguments, the name first.
    pub(crate) args: &'a [&'a str],
    /// Stdin, stdout, stderr.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// The descriptors that get the numbers from [`FIRST_FD`] on.
    pub(crate) fds: &'a [BorrowedFd<'a>],
    /// Its new namespaces.
    pub(crate) namespaces: Namespaces,
    /// A terminal that becomes its controlling one, so that it hears of new window sizes.
    pub(crate) terminal: Option<BorrowedFd<'a>>,
}

/// A started process that waits at its gate.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Its pid.
    pub(crate) pid: i32,
    /// Its pidfd.
    pub(crate) pidfd: OwnedFd,
    gate: OwnedFd,
}

impl Waiting {
    /// Lets the process go on to exec; returns when that has worked.
    pub(crate) fn open_gate(self) -> Result<(i32, OwnedFd)> {
        rustix::io::write(&self.gate, b"g").context("a new process died before exec")?;
        let mut answer = [0; 4];
        // Exec closes the other end; only a failure writes.
        match rustix::io::read(&self.gate, &mut answer)? {
            0 => Ok((self.pid, self.pidfd)),
            4 => {
                let error = io::Error::from_raw_os_error(i32::from_ne_bytes(answer));
                Err(error).context("exec runsc again")
            }
            _ => bail!("a new process died before exec"),
        }
    }
}

/// Everything the child needs, made before it exists: it must not allocate.
struct Prepared<'a> {
    exe: OwnedFd,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    fds: Vec<RawFd>,
    terminal: Option<RawFd>,
    gate: RawFd,
    /// The parent's end, of which the child has a copy.
    outside: RawFd,
    _args: Vec<CString>,
    _env: Vec<CString>,
    _launch: &'a Launch<'a>,
}

/// Environment of every process that `runsc` starts: enough for a backtrace, nothing of the caller's.
/// One arena of malloc: it takes less memory, and further ones look into `/proc` when they shrink
/// (glibc, `check_may_shrink_heap`), which no filter allows.
const ENVIRONMENT: [&str; 2] = ["RUST_BACKTRACE=0", "MALLOC_ARENA_MAX=1"];

/// Starts a process that waits at its gate. The caller must have a single thread.
pub(crate) fn spawn(launch: &Launch<'_>) -> Result<Waiting> {
    let (gate, child_gate) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut prepared = prepare(launch, child_gate.as_fd(), gate.as_fd())?;
    let mut pidfd: libc::c_int = -1;
    let flags = launch.namespaces.0 | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork: the child goes on with a copy of this
    // single-threaded process and, until exec or _exit, only makes system calls on prepared data. The
    // kernel writes the pidfd through the pointer, which is valid for the call.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone, i64::from(flags), 0_i64, &raw mut pidfd, 0_i64, 0_i64)
    };
    match pid {
        -1 => Err(io::Error::last_os_error()).context("clone a process into new namespaces"),
        0 => child(&mut prepared),
        pid => Ok(Waiting { pid: i32::try_from(pid)?, pidfd: inherit(pidfd)?, gate }),
    }
}

fn prepare<'a>(
    launch: &'a Launch<'a>,
    gate: BorrowedFd<'_>,
    outside: BorrowedFd<'_>,
) -> Result<Prepared<'a>> {
    let exe = openat(CWD, "/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context("open /proc/self/exe")?;
    let args = strings(launch.args)?;
    let env = strings(&ENVIRONMENT)?;
    let fds = launch.stdio.iter().chain(launch.fds).map(AsRawFd::as_raw_fd).collect();
    Ok(Prepared {
        exe,
        argv: pointers(&args),
        envp: pointers(&env),
        fds,
        terminal: launch.terminal.map(|fd| fd.as_raw_fd()),
        gate: gate.as_raw_fd(),
        outside: outside.as_raw_fd(),
        _args: args,
        _env: env,
        _launch: launch,
    })
}

fn strings(list: &[&str]) -> Result<Vec<CString>, NulError> {
    list.iter().map(|string| CString::new(*string)).collect()
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child's side. Each step is one system call on prepared data.
fn child(prepared: &mut Prepared<'_>) -> ! {
    // Else the gate would never be seen to close.
    // SAFETY: a call without pointers, on the child's own copy of the descriptor.
    unsafe { libc::close(prepared.outside) };
    // Beyond the numbers that `place_descriptors` overwrites.
    let beyond = RawFd::try_from(prepared.fds.len()).unwrap_or(RawFd::MAX);
    if let Ok(gate) = scratch(prepared.gate, beyond)
        && wait_at_gate(gate).is_ok()
        && let Err(error) = exec(prepared, beyond)
    {
        let bytes = error.raw_os_error().unwrap_or(0).to_ne_bytes();
        // SAFETY: the buffer lives on this stack.
        unsafe { libc::write(gate, bytes.as_ptr().cast(), bytes.len()) };
    }
    exit_now(127)
}

fn wait_at_gate(gate: RawFd) -> Result<(), ()> {
    let mut byte = 0_u8;
    loop {
        // SAFETY: the one-byte buffer lives on this stack.
        let count = unsafe { libc::read(gate, (&raw mut byte).cast(), 1) };
        match count {
            1 => return Ok(()),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return Err(()),
        }
    }
}

fn exec(prepared: &mut Prepared<'_>, beyond: RawFd) -> io::Result<()> {
    // SAFETY: a call without pointers.
    check(unsafe { libc::setsid() })?;
    if let Some(terminal) = prepared.terminal {
        // SAFETY: TIOCSCTTY takes an integer.
        check(unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) })?;
    }
    let exe = scratch(prepared.exe.as_raw_fd(), beyond)?;
    place_descriptors(&mut prepared.fds, beyond)?;
    clear_signals()?;
    // SAFETY: both arrays end in null and point to strings that live as long as `prepared`.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            i64::from(exe),
            c"".as_ptr(),
            prepared.argv.as_ptr(),
            prepared.envp.as_ptr(),
            i64::from(libc::AT_EMPTY_PATH),
        )
    };
    Err(io::Error::last_os_error())
}

/// Gives the descriptors the numbers 0, 1, 2, … and marks all others to be closed by exec.
fn place_descriptors(fds: &mut [RawFd], beyond: RawFd) -> io::Result<()> {
    // First out of the way of each other, then to their places.
    for fd in fds.iter_mut() {
        *fd = scratch(*fd, beyond)?;
    }
    for (place, fd) in (0..).zip(fds.iter()) {
        // SAFETY: a call without pointers.
        check(unsafe { libc::dup2(*fd, place) })?;
    }
    // SAFETY: a call without pointers.
    check(unsafe {
        libc::close_range(
            beyond.cast_unsigned(),
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC.cast_signed(),
        )
    })?;
    Ok(())
}

/// A copy of `fd` at `from` or the next free number.
fn scratch(fd: RawFd, from: RawFd) -> io::Result<RawFd> {
    // SAFETY: a call without pointers.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, from) })
}

fn clear_signals() -> io::Result<()> {
    let mut none = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set in.
    check(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
    // SAFETY: the set was just filled in; no old set is asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) })?;
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes over a descriptor that this process was started with.
pub(crate) fn inherit(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: a call without pointers.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })
        .with_context(|| format!("descriptor {number} was not handed over"))?;
    // SAFETY: it is open, as the call above has shown, and each number is taken over once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: a call without pointers; the caller's later use of paths and ids is what it wants changed.
    check(unsafe { libc::unshare(namespaces.0) }).map(drop)
}

/// Blocks `signals` for this thread and those that it makes; they can be read from the descriptor.
pub(crate) fn signal_fd(signals: &[libc::c_int]) -> Result<OwnedFd> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set in.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    for signal in signals {
        // SAFETY: the set was filled in above.
        check(unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) })?;
    }
    // SAFETY: the set was filled in above; no old set is asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) })?;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set was filled in above.
    let fd = check(unsafe { libc::signalfd(-1, set.as_ptr(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The user at the other end of a Unix socket, as this user namespace sees it.
///
/// rustix has this call, but holds the pid in a type without zero, and zero is what a peer of another pid
/// namespace has.
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>())?;
    // SAFETY: the buffer and its size live on this stack and belong together.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    })?;
    Ok(peer.uid)
}

/// What the unwinder tells of one frame; only it knows the inside.
enum Frame {}

// The unwinder that Rust's standard library links anyway (Itanium C++ ABI, "Exception Handling", level I).
unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut Frame, *mut libc::c_void) -> libc::c_int,
        data: *mut libc::c_void,
    ) -> libc::c_int;
    fn _Unwind_GetIP(frame: *mut Frame) -> usize;
}

/// More than any stack is deep that somebody wants to read.
const MOST_FRAMES: usize = 128;

/// The return addresses of the callers, innermost first. Opens no file, which the standard library's backtrace
/// does as soon as it is printed, and a filter forbids.
pub(crate) fn return_addresses() -> Vec<usize> {
    extern "C" fn visit(frame: *mut Frame, data: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `data` is the vector below, which nobody else uses during the walk.
        let found = unsafe { &mut *data.cast::<Vec<usize>>() };
        // SAFETY: the unwinder passes a valid frame.
        found.push(unsafe { _Unwind_GetIP(frame) });
        // Anything but 0 ends the walk.
        libc::c_int::from(found.len() >= MOST_FRAMES)
    }
    let mut found: Vec<usize> = Vec::with_capacity(MOST_FRAMES);
    // SAFETY: `visit` has the type that the unwinder expects and does not unwind; the vector outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut found).cast()) };
    found
}

/// Ends the process at once, whatever its threads do.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit touches no memory.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_parent_gives_up_ends_at_its_gate() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let launch = Launch {
            args: &["runsc", "--version"],
            stdio: [null.as_fd(); 3],
            fds: &[],
            namespaces: Namespaces::NONE,
            terminal: None,
        };
        let Waiting { pid, pidfd, gate } = spawn(&launch).unwrap();
        drop(gate);
        let patience = std::time::Duration::from_secs(10);
        assert!(crate::container::wait_for_end(&pidfd, patience).unwrap());
        let pid = rustix::process::Pid::from_raw(pid);
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
    }
}
