//! The state of an entity: one atomic word, so that no wake or interrupt is ever lost.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use crate::Wake;

/// The phase is in the lowest bits.
const PHASE: u32 = 0b111;
const NEW: u32 = 0;
const RUNNABLE: u32 = 1;
/// Running in the Sentry.
const RUNNING: u32 = 2;
/// Running application code.
const USER: u32 = 3;
const BLOCKED: u32 = 4;
const ENDED: u32 = 5;

/// A wake that nobody has taken yet.
const TOKEN: u32 = 1 << 3;
/// An interrupt is pending.
const INTERRUPT: u32 = 1 << 4;
/// An interrupt that ends all waits is pending.
const KILL: u32 = 1 << 5;
/// The scheduler is being stopped.
const STOP: u32 = 1 << 6;
/// While blocked: `INTERRUPT` ends the wait.
const INTERRUPTIBLE: u32 = 1 << 7;
/// While blocked: only `TOKEN` ends the wait.
const THROUGH: u32 = 1 << 8;

/// What can end a wait, besides a wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything.
    Interruptible,
    /// A kill and a stop.
    Uninterruptible,
    /// Nothing.
    Through,
}

impl Mode {
    fn bits(self) -> u32 {
        match self {
            Self::Interruptible => INTERRUPTIBLE,
            Self::Uninterruptible => 0,
            Self::Through => THROUGH,
        }
    }
}

/// What the caller must do after it has changed a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Effect {
    /// Nothing.
    Nothing,
    /// Its wait has ended, and the caller alone has to queue it at its executor.
    Enqueue,
    /// It is in application code: kick its executor.
    Kick,
}

/// The word.
#[derive(Debug)]
pub(crate) struct Word(AtomicU32);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(NEW))
    }

    /// Starts it; false if that was done before.
    pub(crate) fn start(&self) -> bool {
        self.advance(NEW, RUNNABLE)
    }

    /// Ends one that was never started; false if it was.
    pub(crate) fn discard(&self) -> bool {
        self.advance(NEW, ENDED)
    }

    /// Its executor takes it out of the queue.
    pub(crate) fn run(&self) {
        let done = self.advance(RUNNABLE, RUNNING);
        debug_assert!(done, "ran an entity that was not queued: {self:?}");
    }

    /// Its executor queues it again.
    pub(crate) fn requeue(&self) {
        let done = self.advance(RUNNING, RUNNABLE);
        debug_assert!(done, "queued an entity that did not run: {self:?}");
    }

    /// Its body has ended.
    pub(crate) fn end(&self) {
        let done = self.advance(RUNNING, ENDED);
        debug_assert!(done, "ended an entity that did not run: {self:?}");
    }

    /// Enters application code; false if something is to be seen to first.
    pub(crate) fn enter_user(&self) -> bool {
        self.change(|old| (old & (INTERRUPT | KILL | STOP) == 0).then_some(with_phase(old, USER)))
            .is_some()
    }

    /// Comes out of application code.
    pub(crate) fn leave_user(&self) {
        let done = self.advance(USER, RUNNING);
        debug_assert!(done, "left application code without being there: {self:?}");
    }

    /// Begins a wait; or says why it has ended already, and takes the wake if that is why.
    pub(crate) fn block(&self, mode: Mode) -> Option<Wake> {
        let mut ended = None;
        self.change(|old| {
            ended = end_of_wait(old | mode.bits());
            match ended {
                Some(Wake::Woken) => Some(old & !TOKEN),
                Some(_) => None,
                None => Some(with_phase(old, BLOCKED) | mode.bits()),
            }
        });
        ended
    }

    /// Like `block`, but never begins a wait.
    pub(crate) fn poll(&self, mode: Mode) -> Option<Wake> {
        let mut ended = None;
        self.change(|old| {
            ended = end_of_wait(old | mode.bits());
            (ended == Some(Wake::Woken)).then_some(old & !TOKEN)
        });
        ended
    }

    pub(crate) fn wake(&self) -> Effect {
        self.raise(TOKEN)
    }

    pub(crate) fn interrupt(&self) -> Effect {
        self.raise(INTERRUPT)
    }

    pub(crate) fn kill(&self) -> Effect {
        self.raise(INTERRUPT | KILL)
    }

    pub(crate) fn stop(&self) -> Effect {
        self.raise(STOP)
    }

    /// Ends the wait for no reason: whoever waits looks at the clock.
    pub(crate) fn poke(&self) -> Effect {
        let blocked = |old| (old & PHASE == BLOCKED).then_some(unblocked(old));
        if self.change(blocked).is_some() { Effect::Enqueue } else { Effect::Nothing }
    }

    pub(crate) fn clear_interrupt(&self) {
        self.0.fetch_and(!INTERRUPT, SeqCst);
    }

    pub(crate) fn clear_stop(&self) {
        self.0.fetch_and(!STOP, SeqCst);
    }

    pub(crate) fn interrupt_pending(&self) -> bool {
        self.0.load(SeqCst) & (INTERRUPT | KILL) != 0
    }

    pub(crate) fn killed(&self) -> bool {
        self.0.load(SeqCst) & KILL != 0
    }

    pub(crate) fn stop_wanted(&self) -> bool {
        self.0.load(SeqCst) & STOP != 0
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.0.load(SeqCst) & PHASE == BLOCKED
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(SeqCst) & PHASE == ENDED
    }

    /// Sets flags, and ends the wait if they do.
    fn raise(&self, flags: u32) -> Effect {
        let mut effect = Effect::Nothing;
        self.change(|old| {
            let new = old | flags;
            let phase = old & PHASE;
            effect = match phase {
                BLOCKED if end_of_wait(new).is_some() => Effect::Enqueue,
                USER if flags != TOKEN => Effect::Kick,
                _ => Effect::Nothing,
            };
            Some(if effect == Effect::Enqueue { unblocked(new) } else { new })
        });
        effect
    }

    fn advance(&self, from: u32, to: u32) -> bool {
        self.change(|old| (old & PHASE == from).then_some(with_phase(old, to))).is_some()
    }

    /// Replaces the word unless `new` declines; returns the old one if it was replaced.
    fn change(&self, new: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        self.0.fetch_update(SeqCst, SeqCst, new).ok()
    }
}

fn with_phase(word: u32, phase: u32) -> u32 {
    (word & !PHASE) | phase
}

fn unblocked(word: u32) -> u32 {
    with_phase(word, RUNNABLE) & !(INTERRUPTIBLE | THROUGH)
}

/// Why a wait with this word ends, if it does. A wake comes first: the waiter then looks at its
/// condition, and what has been delivered is not lost to an interrupt.
fn end_of_wait(word: u32) -> Option<Wake> {
    if word & TOKEN != 0 {
        Some(Wake::Woken)
    } else if word & THROUGH != 0 {
        None
    } else if word & KILL != 0 || word & (INTERRUPT | INTERRUPTIBLE) == INTERRUPT | INTERRUPTIBLE {
        Some(Wake::Interrupted)
    } else if word & STOP != 0 {
        Some(Wake::Stopping)
    } else {
        None
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn running() -> Word {
        let word = Word::new();
        assert!(word.start());
        word.run();
        word
    }

    #[test]
    fn a_wake_before_the_wait_ends_it_at_once_and_only_once() {
        let word = running();
        assert_eq!(word.wake(), Effect::Nothing);
        assert_eq!(word.wake(), Effect::Nothing);
        assert_eq!(word.block(Mode::Interruptible), Some(Wake::Woken));
        assert_eq!(word.block(Mode::Interruptible), None);
        assert_eq!(word.wake(), Effect::Enqueue);
        assert_eq!(word.wake(), Effect::Nothing);
    }

    #[test]
    fn an_interrupt_ends_only_interruptible_waits_and_stays() {
        let word = running();
        assert_eq!(word.interrupt(), Effect::Nothing);
        assert_eq!(word.block(Mode::Interruptible), Some(Wake::Interrupted));
        assert_eq!(word.block(Mode::Interruptible), Some(Wake::Interrupted));
        assert_eq!(word.block(Mode::Uninterruptible), None);
        assert_eq!(word.interrupt(), Effect::Nothing);
        assert_eq!(word.kill(), Effect::Enqueue);
        word.run();
        assert_eq!(word.block(Mode::Uninterruptible), Some(Wake::Interrupted));
    }

    #[test]
    fn a_stop_ends_all_waits_but_those_through() {
        let word = running();
        assert_eq!(word.block(Mode::Through), None);
        assert_eq!(word.stop(), Effect::Nothing);
        assert_eq!(word.kill(), Effect::Nothing);
        assert_eq!(word.wake(), Effect::Enqueue);
        word.run();
        assert_eq!(word.block(Mode::Through), Some(Wake::Woken));
    }

    #[test]
    fn application_code_is_not_entered_with_an_interrupt_or_stop_pending() {
        let word = running();
        assert!(word.enter_user());
        assert_eq!(word.interrupt(), Effect::Kick);
        word.leave_user();
        assert!(!word.enter_user());
        word.clear_interrupt();
        assert!(word.enter_user());
        assert_eq!(word.wake(), Effect::Nothing);
        assert_eq!(word.stop(), Effect::Kick);
        word.leave_user();
        assert!(!word.enter_user());
    }

    #[test]
    fn a_poke_ends_a_wait_without_a_reason() {
        let word = running();
        assert_eq!(word.poke(), Effect::Nothing);
        assert_eq!(word.block(Mode::Interruptible), None);
        assert_eq!(word.poke(), Effect::Enqueue);
        word.run();
        assert_eq!(word.poll(Mode::Interruptible), None);
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        },
        thread,
    };

    use super::*;

    /// An executor in small: who is told to queue the entity counts and unparks.
    #[derive(Default)]
    struct Home {
        queued: AtomicUsize,
        kicks: AtomicUsize,
        parker: host::Parker,
    }

    impl Home {
        fn take(&self, effect: Effect) {
            match effect {
                Effect::Nothing => return,
                Effect::Enqueue => self.queued.fetch_add(1, SeqCst),
                Effect::Kick => self.kicks.fetch_add(1, SeqCst),
            };
            self.parker.unpark();
        }

        /// Waits until the entity has been queued, and takes it out.
        fn suspend(&self, word: &Word) {
            while self.queued.load(SeqCst) == 0 {
                self.parker.park();
            }
            assert_eq!(self.queued.fetch_sub(1, SeqCst), 1, "queued twice");
            word.run();
        }
    }

    fn running() -> (Arc<Word>, Arc<Home>) {
        let word = Word::new();
        word.start();
        word.run();
        (Arc::new(word), Arc::new(Home::default()))
    }

    fn block(word: &Word, home: &Home, mode: Mode) -> Wake {
        loop {
            match word.block(mode) {
                Some(wake) => return wake,
                None => home.suspend(word),
            }
        }
    }

    #[test]
    fn no_wake_is_lost() {
        loom::model(|| {
            let (word, home) = running();
            let ready = Arc::new(AtomicBool::new(false));
            let waker = thread::spawn({
                let (word, home, ready) = (word.clone(), home.clone(), ready.clone());
                move || {
                    ready.store(true, Relaxed);
                    home.take(word.wake());
                }
            });
            while !ready.load(Relaxed) {
                assert_eq!(block(&word, &home, Mode::Interruptible), Wake::Woken);
            }
            waker.join().unwrap();
            assert_eq!(home.queued.load(SeqCst), 0);
        });
    }

    #[test]
    fn a_wait_that_several_end_is_queued_once() {
        loom::model(|| {
            let (word, home) = running();
            let others: Vec<_> = [Word::wake, Word::interrupt]
                .into_iter()
                .map(|act| {
                    let (word, home) = (word.clone(), home.clone());
                    thread::spawn(move || home.take(act(&word)))
                })
                .collect();
            let first = block(&word, &home, Mode::Interruptible);
            assert!(matches!(first, Wake::Woken | Wake::Interrupted));
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(home.queued.load(SeqCst), 0);
            assert!(word.interrupt_pending());
        });
    }

    #[test]
    fn a_timeout_and_a_wake_are_both_seen() {
        loom::model(|| {
            let (word, home) = running();
            let timer = thread::spawn({
                let (word, home) = (word.clone(), home.clone());
                move || home.take(word.poke())
            });
            let waker = thread::spawn({
                let (word, home) = (word.clone(), home.clone());
                move || home.take(word.wake())
            });
            assert_eq!(block(&word, &home, Mode::Uninterruptible), Wake::Woken);
            timer.join().unwrap();
            waker.join().unwrap();
            assert_eq!(home.queued.load(SeqCst), 0);
        });
    }

    #[test]
    fn an_interrupt_keeps_out_of_application_code_or_kicks() {
        loom::model(|| {
            let (word, home) = running();
            let other = thread::spawn({
                let (word, home) = (word.clone(), home.clone());
                move || home.take(word.interrupt())
            });
            if word.enter_user() {
                // Application code ends only by the kick.
                while home.kicks.load(SeqCst) == 0 {
                    home.parker.park();
                }
                word.leave_user();
            }
            assert!(word.interrupt_pending());
            other.join().unwrap();
        });
    }
}
