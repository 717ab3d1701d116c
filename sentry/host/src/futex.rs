//! One word on which a host thread sleeps (futex(2)), with a twin for loom.

#[cfg(not(loom))]
pub(crate) use real::Futex;
#[cfg(loom)]
pub(crate) use twin::Futex;

#[cfg(not(loom))]
mod real {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::thread::futex;

    /// A word that can be waited on.
    #[derive(Debug)]
    pub(crate) struct Futex {
        word: AtomicU32,
    }

    impl Futex {
        pub(crate) const fn new(value: u32) -> Self {
            Self { word: AtomicU32::new(value) }
        }

        pub(crate) fn swap(&self, value: u32) -> u32 {
            self.word.swap(value, Ordering::SeqCst)
        }

        pub(crate) fn exchange(&self, expected: u32, new: u32) -> bool {
            self.word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }

        /// Sleeps while the word is `expected`; may return early.
        pub(crate) fn wait(&self, expected: u32) {
            // EAGAIN and EINTR: the caller looks at the word in any case.
            let _ = futex::wait(&self.word, futex::Flags::PRIVATE, expected, None);
        }

        /// Wakes one sleeper.
        pub(crate) fn wake_one(&self) {
            // It can fail only for a bad address.
            let _ = futex::wake(&self.word, futex::Flags::PRIVATE, 1);
        }
    }
}

#[cfg(loom)]
mod twin {
    use loom::sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    };

    #[derive(Debug)]
    pub(crate) struct Futex {
        word: AtomicU32,
        sleepers: Mutex<()>,
        bell: Condvar,
    }

    impl Futex {
        pub(crate) fn new(value: u32) -> Self {
            Self { word: AtomicU32::new(value), sleepers: Mutex::new(()), bell: Condvar::new() }
        }

        pub(crate) fn swap(&self, value: u32) -> u32 {
            self.word.swap(value, Ordering::SeqCst)
        }

        pub(crate) fn exchange(&self, expected: u32, new: u32) -> bool {
            self.word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }

        pub(crate) fn wait(&self, expected: u32) {
            let guard = self.sleepers.lock().unwrap();
            if self.word.load(Ordering::SeqCst) == expected {
                drop(self.bell.wait(guard).unwrap());
            }
        }

        pub(crate) fn wake_one(&self) {
            let _guard = self.sleepers.lock().unwrap();
            self.bell.notify_one();
        }
    }
}
