//! Where an idle host thread sleeps.

use crate::futex::Futex;

const EMPTY: u32 = 0;
const TOKEN: u32 = 1;
const PARKED: u32 = 2;

/// Lets one host thread sleep until another wakes it. A wake that comes first is kept, so it is
/// never lost; several merge into one.
#[derive(Debug)]
pub struct Parker {
    state: Futex,
}

impl Parker {
    /// Makes one without a kept wake.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { state: Futex::new(EMPTY) }
    }

    /// The same for loom, whose types are made at run time.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { state: Futex::new(EMPTY) }
    }

    /// Waits for a wake, and takes it (futex). Only one thread may call it.
    pub fn park(&self) {
        loop {
            if self.state.exchange(TOKEN, EMPTY) {
                return;
            }
            if self.state.exchange(EMPTY, PARKED) {
                self.state.wait(PARKED);
                if self.state.swap(EMPTY) == TOKEN {
                    return;
                }
            }
        }
    }

    /// Wakes the thread; a host call (futex) only if it sleeps. Never waits.
    pub fn unpark(&self) {
        if self.state.swap(TOKEN) == PARKED {
            self.state.wake_one();
        }
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[test]
    fn a_wake_that_comes_first_is_kept_once() {
        let parker = Arc::new(Parker::new());
        parker.unpark();
        parker.unpark();
        parker.park();
        // Had the second one been kept as well, this would be seen by the count below.
        let seen = Arc::new(AtomicU32::new(0));
        let thread = std::thread::spawn({
            let (parker, seen) = (Arc::clone(&parker), Arc::clone(&seen));
            move || {
                parker.park();
                seen.fetch_add(1, Ordering::SeqCst)
            }
        });
        seen.fetch_add(1, Ordering::SeqCst);
        parker.unpark();
        assert_eq!(thread.join().unwrap(), 1);
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::Parker;

    #[test]
    fn what_was_done_before_unpark_is_seen_after_park() {
        loom::model(|| {
            let parker = Arc::new(Parker::new());
            let done = Arc::new(AtomicBool::new(false));
            let waker = loom::thread::spawn({
                let (parker, done) = (Arc::clone(&parker), Arc::clone(&done));
                move || {
                    done.store(true, Ordering::Relaxed);
                    parker.unpark();
                }
            });
            while !done.load(Ordering::Relaxed) {
                parker.park();
            }
            waker.join().unwrap();
        });
    }

    #[test]
    fn two_wakers_lose_nothing() {
        loom::model(|| {
            let parker = Arc::new(Parker::new());
            let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
            let wakers: Vec<_> = (0..2)
                .map(|number| {
                    let (parker, flags) = (Arc::clone(&parker), Arc::clone(&flags));
                    loom::thread::spawn(move || {
                        flags[number].store(true, Ordering::Relaxed);
                        parker.unpark();
                    })
                })
                .collect();
            while !flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
                parker.park();
            }
            for waker in wakers {
                waker.join().unwrap();
            }
        });
    }
}
