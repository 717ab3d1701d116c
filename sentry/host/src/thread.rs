//! Host threads: made at start only, each with a name.

use std::{cell::Cell, io, sync::mpsc, thread};

thread_local! {
    /// Which executor this host thread is.
    static EXECUTOR: Cell<Option<usize>> = const { Cell::new(None) };
    /// How many Sentry locks are held on this host thread (all fibers of it together).
    static LOCKS_HELD: Cell<u32> = const { Cell::new(0) };
}

/// Starts a host thread (clone3). It runs until the process ends. Returns once it is running, so
/// that a filter that is set afterwards meets none of the calls of its start (rseq, prctl).
///
/// # Errors
///
/// What the host says.
pub fn spawn(name: &str, main: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (ready, is_ready) = mpsc::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = ready.send(());
        main();
    })?;
    // An error means that it has ended already.
    let _ = is_ready.recv();
    Ok(())
}

/// Binds the calling host thread to one CPU (`sched_setaffinity`).
///
/// # Errors
///
/// When that CPU is not ours to use.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// The CPUs that the calling host thread may use (`sched_getaffinity`), in order.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect(),
        Err(_) => vec![0],
    }
}

/// Lets another host thread run (`sched_yield`).
pub fn yield_now() {
    rustix::thread::sched_yield();
}

/// Says that the calling host thread is executor `number` from now on.
pub fn become_executor(number: usize) {
    EXECUTOR.set(Some(number));
}

/// The executor that the calling host thread is, if any.
#[must_use]
pub fn executor() -> Option<usize> {
    EXECUTOR.get()
}

/// Counts one more Sentry lock as held on this host thread.
pub fn lock_taken() {
    LOCKS_HELD.set(LOCKS_HELD.get() + 1);
}

/// Counts one Sentry lock less.
pub fn lock_released() {
    LOCKS_HELD.set(LOCKS_HELD.get().saturating_sub(1));
}

/// How many Sentry locks are held on this host thread.
#[must_use]
pub fn locks_held() -> u32 {
    LOCKS_HELD.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_one_cpu() {
        let first = allowed_cpus()[0];
        let seen = thread::spawn(move || {
            pin_to_cpu(first).unwrap();
            allowed_cpus()
        });
        assert_eq!(seen.join().unwrap(), [first]);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        assert!(pin_to_cpu(usize::MAX).is_err());
    }
}
