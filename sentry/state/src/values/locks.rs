//! Locks: empty in the first pass, filled in the second.

use std::sync::{Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{Load, Reader, Result, Save, Writer, print};

/// Makes a lock type savable: `Save`, `Load` and [`Early`](crate::Early) for `$lock<T>`.
///
/// `$read` and `$write` try to take the lock and give an `Option` of a guard; a lock
/// that is held during a save is an error, not a wait. The type needs `Default` and `new(T)`.
///
/// ```
/// # #[derive(Default)] struct Mutex<T>(std::sync::Mutex<T>);
/// # impl<T> Mutex<T> {
/// #     fn new(content: T) -> Self { Self(std::sync::Mutex::new(content)) }
/// #     fn try_lock(&self) -> Option<std::sync::MutexGuard<'_, T>> { self.0.try_lock().ok() }
/// # }
/// state::savable_lock!(Mutex, Mutex::try_lock, Mutex::try_lock);
/// ```
#[macro_export]
macro_rules! savable_lock {
    ($lock:ident, $read:expr, $write:expr) => {
        impl<T: $crate::Save> $crate::Save for $lock<T> {
            const PRINT: u64 = $crate::print::mix($crate::print::text("lock"), T::PRINT);

            fn save(&self, _: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                Ok(())
            }

            fn save_late(&self, w: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                let content = $read(self).ok_or_else($crate::lock_is_held)?;
                T::save(&content, w)?;
                T::save_late(&content, w)
            }
        }

        impl<T: $crate::Load + Default> $crate::Load for $lock<T> {
            fn load(_: &mut $crate::Reader<'_>) -> $crate::Result<Self> {
                Ok(Self::default())
            }

            fn fill(&self, r: &mut $crate::Reader<'_>) -> $crate::Result<()> {
                // Made before the lock is taken: `T` may hold locks of its own.
                let content = T::load(r)?;
                content.fill(r)?;
                *$write(self).ok_or_else($crate::lock_is_held)? = content;
                Ok(())
            }
        }

        impl<T: $crate::Save + $crate::Load> $crate::Early for $lock<T> {
            fn save_early(&self, w: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                $read(self).ok_or_else($crate::lock_is_held)?.save(w)
            }

            fn load_early(r: &mut $crate::Reader<'_>) -> $crate::Result<Self> {
                T::load(r).map(Self::new)
            }

            fn save_rest(&self, w: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                $read(self).ok_or_else($crate::lock_is_held)?.save_late(w)
            }

            fn fill_rest(&self, r: &mut $crate::Reader<'_>) -> $crate::Result<()> {
                $read(self).ok_or_else($crate::lock_is_held)?.fill(r)
            }
        }
    };
}

fn try_lock<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    lock.try_lock().ok()
}

fn try_read<T>(lock: &RwLock<T>) -> Option<RwLockReadGuard<'_, T>> {
    lock.try_read().ok()
}

fn try_write<T>(lock: &RwLock<T>) -> Option<RwLockWriteGuard<'_, T>> {
    lock.try_write().ok()
}

savable_lock!(Mutex, try_lock, try_lock);
savable_lock!(RwLock, try_read, try_write);

/// A cell that is set once is a lock as well: what it names may be younger than its owner.
impl<T: Save> Save for OnceLock<T> {
    const PRINT: u64 = print::mix(print::text("once"), T::PRINT);

    fn save(&self, _: &mut Writer<'_>) -> Result<()> {
        Ok(())
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        let content = self.get();
        content.is_some().save(w)?;
        content.into_iter().try_for_each(|value| {
            value.save(w)?;
            value.save_late(w)
        })
    }
}

impl<T: Load> Load for OnceLock<T> {
    fn load(_: &mut Reader<'_>) -> Result<Self> {
        Ok(Self::new())
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        if !bool::load(r)? {
            return Ok(());
        }
        let value = T::load(r)?;
        value.fill(r)?;
        self.set(value).map_err(|_| r.bad("a cell is set before it is filled"))
    }
}
