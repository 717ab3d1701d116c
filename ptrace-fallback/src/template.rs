//! The first stub, made by fork and exec before any filter is set: the template of all spaces,
//! so that no memory of the Sentry is in any of them.

use std::{
    ffi::c_char,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    ptr,
};

use host::MemoryObject;
use platform::PlatformError;
use rustix::fs::{self, MemfdFlags, SealFlags};

use crate::{
    call,
    cpu::Cpus,
    layout,
    order::Order,
    service::{Lost, Prepared, Service, blob_address, host, refused},
    stub, tracee,
};

/// A file that holds the stub and that nobody can change any more.
fn stub_file() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC is not known before Linux 6.3, where it is implied.
    let file = fs::memfd_create("stub", flags | MemfdFlags::EXEC)
        .or_else(|_| fs::memfd_create("stub", flags))?;
    let image = stub::image();
    let mut rest = &image[..];
    while !rest.is_empty() {
        let done = rustix::io::write(&file, rest)?;
        rest = rest.get(done..).unwrap_or_default();
    }
    fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}

/// Starts the template; returns its pid and its service thread.
pub(crate) fn start(
    memory: &MemoryObject,
    executors: usize,
    cpus: &Cpus,
) -> Result<(i32, Service), PlatformError> {
    let file = stub_file().map_err(refused("the stub's image"))?;
    let prepared = Prepared::new()?;
    let [orders, socket] = prepared.files();
    let fds = [memory.as_fd(), orders, socket, file.as_fd()].map(|fd| fd.as_raw_fd());
    let pid = host("a stub process", spawn(fds))?;
    let mut service = prepared.started(pid, cpus);
    if service.acknowledged().and_then(|()| set_up(&mut service, executors)).is_err() {
        tracee::kill(pid);
        tracee::reap(pid);
        return Err(PlatformError::SpaceLost(
            "the template did not start; the host may forbid to execute a memfd",
        ));
    }
    Ok((pid, service))
}

/// Unmaps what exec left (stack, vDSO), installs handlers and the service filter.
fn set_up(service: &mut Service, executors: usize) -> Result<(), Lost> {
    let above = layout::STUB + layout::STUB_BYTES as u64;
    let orders_end = layout::ORDERS + layout::ORDERS_BYTES as u64;
    let frames = layout::FRAME_BYTES * executors as u64;
    let action = signal_action();
    service.put_blob(&action);
    service.execute(&[
        Order::new(call::MUNMAP, [0, layout::STUB], 0),
        Order::new(call::MUNMAP, [above, layout::ORDERS - above], 0),
        Order::new(call::MUNMAP, [orders_end, layout::HOST_END - orders_end], 0),
        Order::new(
            call::MMAP,
            [layout::FRAMES, frames, 3, call::MAP_OWN, u64::MAX, 0],
            layout::FRAMES,
        ),
        handle(libc::SIGSEGV),
        handle(libc::SIGBUS),
        handle(libc::SIGFPE),
        Order::new(call::PRCTL, [call::flag(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0], 0),
        Order::new(call::SECCOMP, [1, layout::FILTER_FLAGS, layout::SERVICE_FILTER], 0),
    ])
}

fn handle(signal: i32) -> Order {
    Order::new(call::RT_SIGACTION, [call::flag(signal), blob_address(), 0, 8], 0)
}

/// The kernel's `struct sigaction`: handler, flags, restorer, empty mask. The handler is never
/// run: its frame is what tells the page-fault error code (`carrier.rs`).
fn signal_action() -> [u8; 32] {
    const SA_RESTORER: u64 = 0x0400_0000;
    let flags = call::flag(libc::SA_SIGINFO | libc::SA_NODEFER) | SA_RESTORER;
    let mut action = [0; 32];
    for (to, word) in action.chunks_exact_mut(8).zip([stub::handler(), flags, stub::handler(), 0]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    action
}

/// Forks and executes the last of `fds` with the others as 0, 1 and 2.
fn spawn(fds: [RawFd; 4]) -> io::Result<i32> {
    // SAFETY: touches no memory.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the child makes only async-signal-safe calls until it executes or exits.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            execute(fds, parent);
            // SAFETY: never returns.
            unsafe { libc::_exit(98) }
        }
        pid => Ok(pid),
    }
}

/// The child's part. Returns only if something failed.
fn execute(fds: [RawFd; 4], parent: libc::pid_t) {
    let mut high = [0; 4];
    for (to, from) in high.iter_mut().zip(fds) {
        // Out of the way of 0..=2 first.
        // SAFETY: touches no memory.
        *to = unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, 10) };
        if *to < 0 {
            return;
        }
    }
    for (to, from) in high.iter().take(3).zip(0..) {
        // SAFETY: touches no memory.
        if unsafe { libc::dup2(*to, from) } < 0 {
            return;
        }
    }
    // The stub must inherit nothing else, whatever the Sentry was started with.
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: touches no memory.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) } < 0 {
        return;
    }
    // SAFETY: touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    // SAFETY: touches no memory.
    if unsafe { libc::getppid() } != parent {
        return;
    }
    // An ignored or blocked signal would stay so across exec.
    // SAFETY: a set of all zeros is the empty set.
    let empty: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: reads `empty`.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut()) };
    let name: *const c_char = c"stub".as_ptr();
    let argv = [name, ptr::null()];
    let envp: [*const c_char; 1] = [ptr::null()];
    // SAFETY: both vectors end with null and live until the image is replaced.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            high[3],
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
}
