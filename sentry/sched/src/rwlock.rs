//! The Sentry's lock with many readers or one writer.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{self, TryLockError},
};

use crate::mutex::Pause;

/// Like [`crate::Mutex`], but readers share it. A reader must not take it twice.
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    /// Only ever taken by `try_read` and `try_write`, so nobody sleeps in it.
    inner: sync::RwLock<T>,
}

/// Shared access to what a [`RwLock`] protects.
#[derive(Debug)]
pub struct ReadGuard<'a, T: ?Sized> {
    inner: sync::RwLockReadGuard<'a, T>,
}

/// Exclusive access to what a [`RwLock`] protects.
#[derive(Debug)]
pub struct WriteGuard<'a, T: ?Sized> {
    inner: sync::RwLockWriteGuard<'a, T>,
}

impl<T> RwLock<T> {
    /// Makes a lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { inner: sync::RwLock::new(value) }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.inner.into_inner().unwrap_or_else(sync::PoisonError::into_inner)
    }
}

state::savable_lock!(RwLock, RwLock::try_read, RwLock::try_write);

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading; never fails.
    pub fn read(&self) -> ReadGuard<'_, T> {
        let mut pause = Pause::default();
        loop {
            match self.try_read() {
                Some(guard) => return guard,
                None => pause.wait(),
            }
        }
    }

    /// Takes the lock for writing; never fails.
    pub fn write(&self) -> WriteGuard<'_, T> {
        let mut pause = Pause::default();
        loop {
            match self.try_write() {
                Some(guard) => return guard,
                None => pause.wait(),
            }
        }
    }

    /// Takes the lock for reading if nobody writes.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let inner = match self.inner.try_read() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        host::thread::lock_taken();
        Some(ReadGuard { inner })
    }

    /// Takes the lock for writing if it is free.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let inner = match self.inner.try_write() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        host::thread::lock_taken();
        Some(WriteGuard { inner })
    }

    /// The value, if the lock can't be taken by anybody else.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(sync::PoisonError::into_inner)
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        host::thread::lock_released();
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        host::thread::lock_released();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwLock").field(&&*guard).finish(),
            None => f.write_str("RwLock(<locked>)"),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let lock = RwLock::new(1);
        let (first, second) = (lock.read(), lock.read());
        assert_eq!(*first + *second, 2);
        assert!(lock.try_write().is_none());
        assert_eq!(host::thread::locks_held(), 2);
        drop((first, second));
        *lock.write() = 3;
        let writer = lock.write();
        assert!(lock.try_read().is_none());
        drop(writer);
        assert_eq!(host::thread::locks_held(), 0);
        assert_eq!(lock.into_inner(), 3);
    }
}
