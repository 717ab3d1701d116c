//! The Sentry's lock.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{self, TryLockError},
};

/// Protects short pieces of state. A waiter spins, then yields the host thread; it never sleeps,
/// since a fiber of the same executor may be the holder's only chance to run. Never hold it over
/// [`crate::Fiber::block`] (asserted).
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    /// Only ever taken by `try_lock`, so nobody sleeps in it.
    inner: sync::Mutex<T>,
}

/// Access to what a [`Mutex`] protects.
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    inner: sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// Makes a lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { inner: sync::Mutex::new(value) }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.inner.into_inner().unwrap_or_else(sync::PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; never fails.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let mut pause = Pause::default();
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => pause.wait(),
            }
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            // A panic ends the sandbox (release) or is a test's own: the value is not blamed.
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        host::thread::lock_taken();
        Some(MutexGuard { inner })
    }

    /// The value, if the lock can't be taken by anybody else.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(sync::PoisonError::into_inner)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        host::thread::lock_released();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

state::savable_lock!(Mutex, Mutex::try_lock, Mutex::try_lock);

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// How a waiter for a lock passes the time.
#[derive(Default)]
pub(crate) struct Pause {
    rounds: u32,
}

impl Pause {
    /// The holder is usually a few hundred instructions from the end; if it is not, its host
    /// thread was probably preempted.
    const SPINS: u32 = 100;

    pub(crate) fn wait(&mut self) {
        if self.rounds < Self::SPINS {
            self.rounds += 1;
            std::hint::spin_loop();
        } else {
            host::thread::yield_now();
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn threads_that_contend_lose_no_update() {
        let sum = Arc::new(Mutex::new(0_u64));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = Arc::clone(&sum);
                thread::spawn(move || (0..20_000).for_each(|_| *sum.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*sum.lock(), 80_000);
    }

    #[test]
    fn what_is_held_is_counted() {
        let (a, b) = (Mutex::new(1), Mutex::new(2));
        let held = a.lock();
        assert!(a.try_lock().is_none());
        let both = b.lock();
        assert_eq!(host::thread::locks_held(), 2);
        drop(held);
        drop(both);
        assert_eq!(host::thread::locks_held(), 0);
        assert!(a.try_lock().is_some());
    }

    #[test]
    fn a_panic_of_a_holder_does_not_shut_others_out() {
        let lock = Arc::new(Mutex::new(7));
        let other = Arc::clone(&lock);
        let holder = thread::spawn(move || {
            let _guard = other.lock();
            unreachable!("a test's own");
        });
        assert!(holder.join().is_err());
        assert_eq!(*lock.lock(), 7);
        assert_eq!(format!("{lock:?}"), "Mutex(7)");
    }
}
