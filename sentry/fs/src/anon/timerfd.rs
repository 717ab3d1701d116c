//! Timers that can be read (`timerfd_create(2)`).

use std::{
    any::Any,
    sync::{Arc, Weak},
};

use abi::{
    Errno, Timespec,
    fs::{
        open::{O_CLOEXEC, O_NONBLOCK, O_RDONLY},
        poll::{POLLIN, POLLRDNORM},
    },
};
use sched::{Fire, Mutex, Sched, TimerId, WaitQueue};
use state::{Load, Reader, Save, Schema, Writer, live::Live, print};
use vfs::{Ctx, Dst, File, Inode, OpenFile};

use crate::{Shared, base::AnonInode};

/// `TFD_TIMER_ABSTIME` (`timerfd_create(2)`).
const ABSTIME: u32 = 1;
/// `TFD_TIMER_CANCEL_ON_SET`: nobody can set the sandbox's clock, so there is nothing to do.
const CANCEL_ON_SET: u32 = 2;

/// A clock that timers can go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
#[expect(missing_docs, reason = "each is the clock of its name, clock_gettime(2)")]
pub enum TimerClock {
    Realtime,
    Monotonic,
    Boottime,
}

impl TimerClock {
    /// The clock with this number (`CLOCK_*`).
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that timers can't go by.
    pub fn from_number(number: u32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            7 => Ok(Self::Boottime),
            _ => Err(Errno::EINVAL),
        }
    }

    fn now_ns(self) -> u64 {
        match self {
            Self::Realtime => host::clock::realtime_ns(),
            Self::Monotonic => host::clock::monotonic_ns(),
            Self::Boottime => host::clock::boottime_ns(),
        }
    }
}

/// `struct itimerspec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// From one expiration to the next; zero: there is only one.
    pub interval: Timespec,
    /// To the first expiration; zero: disarmed.
    pub value: Timespec,
}

/// A timer.
#[derive(Debug)]
pub struct TimerFd {
    clock: TimerClock,
    state: Mutex<State>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    _live: Live<Self>,
}

state::counted!(TimerFd);

/// As on Linux nothing is armed between an expiration and the read that takes it: later
/// expirations are counted by the clock, however short the interval.
#[derive(Debug, Default, state::Save, state::Load)]
struct State {
    me: Weak<TimerFd>,
    /// The next expiration that was not read, in `CLOCK_MONOTONIC`; `None`: disarmed.
    deadline_ns: Option<u64>,
    /// 0: once.
    interval_ns: u64,
    #[state(skip)]
    armed: Option<TimerId>,
}

/// `timerfd_create(2)`: makes a disarmed timer. `TFD_CLOEXEC` is the caller's.
///
/// # Errors
///
/// `EINVAL` for an unknown flag.
pub fn timerfd(
    shared: &Arc<Shared>,
    clock: TimerClock,
    flags: u32,
) -> Result<Arc<OpenFile>, Errno> {
    if flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Arc::new(TimerFd {
        clock,
        state: Mutex::default(),
        queue: WaitQueue::new(),
        inode: Arc::clone(shared.anonymous_inode()),
        _live: Live::new(),
    });
    file.state.lock().me = Arc::downgrade(&file);
    Ok(OpenFile::new(file, None, O_RDONLY | (flags & O_NONBLOCK)))
}

impl State {
    fn arm(&mut self, sched: &Sched) {
        let timers = sched.timers();
        if let Some(old) = self.armed.take() {
            timers.cancel(old);
        }
        if let Some(deadline) = self.deadline_ns {
            let me: Weak<dyn Fire> = self.me.clone();
            self.armed = Some(timers.arm(deadline, me));
        }
    }

    fn setting(&self, now_ns: u64) -> TimerSetting {
        let left = match self.deadline_ns {
            None => 0,
            Some(deadline) if deadline > now_ns => deadline - now_ns,
            Some(_) if self.interval_ns == 0 => 0,
            Some(deadline) => self.interval_ns - (now_ns - deadline) % self.interval_ns,
        };
        TimerSetting {
            interval: Timespec::from_ns(self.interval_ns),
            value: Timespec::from_ns(left),
        }
    }

    /// Takes the expirations up to now.
    fn take(&mut self, now_ns: u64) -> Option<u64> {
        let deadline = self.deadline_ns.filter(|deadline| *deadline <= now_ns)?;
        if self.interval_ns == 0 {
            self.deadline_ns = None;
            return Some(1);
        }
        let count = (now_ns - deadline) / self.interval_ns + 1;
        self.deadline_ns = Some(deadline.saturating_add(count.saturating_mul(self.interval_ns)));
        Some(count)
    }
}

impl TimerFd {
    /// `timerfd_settime(2)`: returns the old setting.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad time or an unknown flag.
    pub fn set(&self, cx: &Ctx<'_>, flags: u32, new: &TimerSetting) -> Result<TimerSetting, Errno> {
        if flags & !(ABSTIME | CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let value = new.value.to_ns().ok_or(Errno::EINVAL)?;
        let interval_ns = new.interval.to_ns().ok_or(Errno::EINVAL)?;
        let now = host::clock::monotonic_ns();
        let left =
            if flags & ABSTIME == 0 { value } else { value.saturating_sub(self.clock.now_ns()) };
        let mut state = self.state.lock();
        let old = state.setting(now);
        state.deadline_ns = (value != 0).then(|| now.saturating_add(left));
        state.interval_ns = interval_ns;
        state.arm(cx.fiber.sched());
        Ok(old)
    }

    /// `timerfd_gettime(2)`.
    #[must_use]
    pub fn setting(&self) -> TimerSetting {
        self.state.lock().setting(host::clock::monotonic_ns())
    }
}

impl Fire for TimerFd {
    fn fire(&self, _now_ns: u64) {
        self.queue.notify(POLLIN | POLLRDNORM);
    }
}

impl Schema for TimerFd {
    const NAME: &'static str = "TimerFd";
}

impl Save for TimerFd {
    const PRINT: u64 = print::mix(print::text("clock, inode; state"), State::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> state::Result<()> {
        self.clock.save(w)?;
        self.inode.save(w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> state::Result<()> {
        self.state.save_late(w)
    }
}

/// The scheduler of the new sandbox is to look at it.
impl Load for TimerFd {
    fn load(r: &mut Reader<'_>) -> state::Result<Self> {
        let (clock, state, queue) = (Load::load(r)?, Mutex::default(), WaitQueue::new());
        Ok(Self { clock, state, queue, inode: Load::load(r)?, _live: Live::new() })
    }

    fn fill(&self, r: &mut Reader<'_>) -> state::Result<()> {
        self.state.fill(r)?;
        self.state.lock().arm(&*r.given::<Sched>()?);
        Ok(())
    }
}

impl File for TimerFd {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        if dst.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let count = {
            let mut state = self.state.lock();
            let count = state.take(host::clock::monotonic_ns()).ok_or(Errno::EAGAIN)?;
            state.arm(cx.fiber.sched());
            count
        };
        dst.put(&count.to_ne_bytes())
    }

    fn poll(&self) -> u32 {
        let now = host::clock::monotonic_ns();
        let expired = self.state.lock().deadline_ns.is_some_and(|deadline| deadline <= now);
        if expired { POLLIN | POLLRDNORM } else { 0 }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn release(&self, cx: &Ctx<'_>) {
        let mut state = self.state.lock();
        state.deadline_ns = None;
        state.arm(cx.fiber.sched());
    }

    fn link_text(&self) -> String {
        "anon_inode:[timerfd]".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read, run};

    fn ms(ms: u64) -> Timespec {
        Timespec::from_ns(ms * 1_000_000)
    }

    fn count(cx: &Ctx<'_>, file: &OpenFile) -> Result<u64, Errno> {
        read(cx, file, 8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn a_read_waits_for_the_first_expiration_and_counts_the_rest() {
        run(|cx, world| {
            for clock in [TimerClock::Realtime, TimerClock::Monotonic, TimerClock::Boottime] {
                let file = timerfd(&world.shared, clock, 0).unwrap();
                let timer = file.downcast::<TimerFd>().unwrap();
                let now = clock.now_ns();
                let start = Timespec::from_ns(now + 5_000_000);
                let tight = TimerSetting { interval: Timespec::from_ns(1000), value: start };
                assert_eq!(timer.set(cx, ABSTIME, &tight), Ok(TimerSetting::default()));
                assert_eq!(timer.poll(), 0);
                let first = count(cx, &file).unwrap();
                assert!(clock.now_ns() >= now + 5_000_000);
                let second = count(cx, &file).unwrap();
                assert!(first >= 1 && second >= 1);
                assert_eq!(timer.setting().interval, tight.interval);
            }
        });
    }

    #[test]
    fn a_timer_that_goes_off_once_is_disarmed_by_the_read() {
        run(|cx, world| {
            let file = timerfd(&world.shared, TimerClock::Monotonic, 0).unwrap();
            let timer = file.downcast::<TimerFd>().unwrap();
            let once = TimerSetting { value: ms(1), ..TimerSetting::default() };
            timer.set(cx, 0, &once).unwrap();
            assert_eq!(count(cx, &file), Ok(1));
            file.set_nonblocking(true);
            assert_eq!(count(cx, &file), Err(Errno::EAGAIN));
            assert_eq!(timer.setting(), TimerSetting::default());
            let later = TimerSetting { value: ms(3_600_000), ..TimerSetting::default() };
            timer.set(cx, 0, &later).unwrap();
            let old = timer.set(cx, 0, &TimerSetting::default()).unwrap();
            assert!(old.value.sec >= 3590);
            let bad = TimerSetting { value: Timespec { sec: 0, nsec: -1 }, ..later };
            assert_eq!(timer.set(cx, 0, &bad), Err(Errno::EINVAL));
        });
    }
}
