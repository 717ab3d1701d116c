//! How many objects of each type are alive: a leak shows as a number that does not go back to 0.
//!
//! A type that is to be counted has a field `#[state(skip)] _live: Live<Self>`. Counters
//! are statistics: no decision of the kernel depends on them, and no image holds them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A type whose objects are counted; by `derive(Save)`, or by [`counted!`](crate::counted).
pub trait Counted {
    /// The type's counter.
    fn counter() -> &'static Counter;
}

/// Makes a type without `derive(Save)` [`Counted`].
#[macro_export]
macro_rules! counted {
    ($($type:ident),* $(,)?) => { $(
        impl $crate::live::Counted for $type {
            fn counter() -> &'static $crate::live::Counter {
                static COUNTER: $crate::live::Counter =
                    $crate::live::Counter::new(stringify!($type));
                &COUNTER
            }
        }
    )* };
}

/// The live objects of one type.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    alive: AtomicU64,
    /// Is it in the list?
    listed: AtomicBool,
}

/// The counters of all types that have had an object.
///
/// A slot is set once, by the thread that drew its number: nobody ever waits here.
static LIST: [OnceLock<&'static Counter>; 512] = [const { OnceLock::new() }; 512];
static LISTED: AtomicUsize = AtomicUsize::new(0);

impl Counter {
    /// A counter for a type named `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, alive: AtomicU64::new(0), listed: AtomicBool::new(false) }
    }

    /// How many objects are alive.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    fn add(&'static self) {
        self.alive.fetch_add(1, Ordering::Relaxed);
        if !self.listed.load(Ordering::Relaxed) && !self.listed.swap(true, Ordering::Relaxed) {
            let slot = LIST.get(LISTED.fetch_add(1, Ordering::Relaxed));
            debug_assert!(slot.is_some(), "more counted types than slots");
            let _ = slot.map(|slot| slot.set(self));
        }
    }
}

/// All counters with their names, in the order of the first object.
///
/// Numbers are exact when nothing else runs.
pub fn totals() -> impl Iterator<Item = (&'static str, u64)> {
    LIST.iter().filter_map(OnceLock::get).map(|counter| (counter.name, counter.alive()))
}

/// A field that counts its owner as long as it lives. It takes no space.
pub struct Live<T: Counted>(PhantomData<fn() -> T>);

impl<T: Counted> Live<T> {
    /// Counts one more.
    #[must_use]
    pub fn new() -> Self {
        T::counter().add();
        Self(PhantomData)
    }
}

impl<T: Counted> Default for Live<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The copy of an owner is an owner.
impl<T: Counted> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Counted> Drop for Live<T> {
    fn drop(&mut self) {
        T::counter().alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T: Counted> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Clone)]
    struct Thing {
        _live: Live<Self>,
    }
    counted!(Thing);

    fn total() -> Option<u64> {
        totals().find(|total| total.0 == "Thing").map(|total| total.1)
    }

    #[test]
    fn the_total_follows_owners_and_copies() {
        assert_eq!(total(), None);
        let one = Thing::default();
        assert_eq!(total(), Some(1));
        let two = one.clone();
        assert_eq!(total(), Some(2));
        drop((one, two));
        assert_eq!(total(), Some(0));
        assert_eq!(size_of::<Thing>(), 0);
    }
}
