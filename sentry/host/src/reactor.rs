//! Waiting for host file descriptors and for time: the I/O thread's part.

use std::{
    collections::BTreeMap,
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError, Weak},
};

use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// What can be done with a host file descriptor now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read would not wait.
    pub readable: bool,
    /// A write would not wait.
    pub writable: bool,
    /// Urgent data, or a state change of a pseudo-terminal.
    pub urgent: bool,
    /// The other side has closed its writing half.
    pub read_closed: bool,
    /// Hang-up.
    pub closed: bool,
    /// An error is pending.
    pub error: bool,
}

/// Told when a watched file descriptor changes. Called on the I/O thread: it must be short.
pub trait Ready: Send + Sync {
    /// The state has changed to this (edge-triggered: looked at once per change).
    fn ready(&self, readiness: Readiness);
}

/// Names a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchId(u64);

/// The set of watched file descriptors, and one alarm.
///
/// Its lock is held for a few instructions by whoever watches, and by the I/O thread.
pub struct Reactor {
    epoll: OwnedFd,
    alarm: OwnedFd,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    last: u64,
    targets: BTreeMap<u64, Weak<dyn Ready>>,
}

/// The alarm's number; watches count from 1.
const ALARM: u64 = 0;

impl Reactor {
    /// Makes one with nothing to watch (`epoll_create1`, `timerfd_create`).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &alarm, EventData::new_u64(ALARM), EventFlags::IN)?;
        Ok(Self { epoll, alarm, watches: Mutex::default() })
    }

    /// Tells `target` of each change of `fd`'s readiness from now on, first of its present state
    /// (`epoll_ctl`, edge-triggered).
    ///
    /// # Errors
    ///
    /// EPERM for what is always ready (a regular file), or what else the host says.
    pub fn watch(&self, fd: BorrowedFd<'_>, target: Weak<dyn Ready>) -> io::Result<WatchId> {
        let mut watches = self.watches();
        watches.last += 1;
        let number = watches.last;
        let flags =
            EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, fd, EventData::new_u64(number), flags)?;
        watches.targets.insert(number, target);
        Ok(WatchId(number))
    }

    /// Ends a watch; `fd` is the one it was made for. The target may be told once more if the
    /// I/O thread is just at it.
    pub fn unwatch(&self, id: WatchId, fd: BorrowedFd<'_>) {
        self.watches().targets.remove(&id.0);
        // It fails only if the caller has closed the fd before, which removes it as well.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Lets `turn` return at `deadline_ns` of `CLOCK_MONOTONIC` (`timerfd_settime`); `None` takes the
    /// alarm back. It replaces the alarm that was set before.
    pub fn set_alarm(&self, deadline_ns: Option<u64>) {
        // Zero would disarm it; any time in the past rings at once.
        let at = deadline_ns.map_or(0, |deadline| deadline.max(1));
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (at / 1_000_000_000).try_into().unwrap_or(i64::MAX),
                tv_nsec: (at % 1_000_000_000).try_into().unwrap_or(0),
            },
        };
        // It can fail only for a bad value.
        let _ = timerfd_settime(&self.alarm, TimerfdTimerFlags::ABSTIME, &spec);
    }

    /// Waits for changes or the alarm, and tells the targets (`epoll_pwait`; read for the alarm).
    /// For the I/O thread only.
    pub fn turn(&self) {
        let mut space =
            [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 64];
        // EINTR and the like: the caller calls again.
        let count = epoll::wait(&self.epoll, &mut space[..], None).unwrap_or(0);
        for event in space.iter().take(count) {
            let (number, flags) = (event.data.u64(), event.flags);
            if number == ALARM {
                let _ = io::read(&self.alarm, &mut [0; 8]);
                continue;
            }
            let target = self.watches().targets.get(&number).and_then(Weak::upgrade);
            if let Some(target) = target {
                target.ready(Readiness::of_epoll(flags));
            }
        }
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readiness {
    fn of_epoll(flags: EventFlags) -> Self {
        Self {
            readable: flags.contains(EventFlags::IN),
            writable: flags.contains(EventFlags::OUT),
            urgent: flags.contains(EventFlags::PRI),
            read_closed: flags.contains(EventFlags::RDHUP),
            closed: flags.contains(EventFlags::HUP),
            error: flags.contains(EventFlags::ERR),
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("watches", &self.watches().targets.len()).finish()
    }
}

impl AsFd for Reactor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<Readiness>>);

    impl Ready for Log {
        fn ready(&self, readiness: Readiness) {
            self.0.lock().unwrap().push(readiness);
        }
    }

    fn watched_pipe(reactor: &Reactor) -> (Arc<Log>, WatchId, OwnedFd, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let log = Arc::new(Log::default());
        let target: Arc<dyn Ready> = log.clone();
        let id = reactor.watch(reader.as_fd(), Arc::downgrade(&target)).unwrap();
        (log, id, reader, writer)
    }

    #[test]
    fn a_write_makes_the_reading_end_ready() {
        let reactor = Reactor::new().unwrap();
        let (log, _id, _reader, writer) = watched_pipe(&reactor);
        io::write(&writer, b"x").unwrap();
        reactor.turn();
        assert!(log.0.lock().unwrap()[0].readable);
    }

    #[test]
    fn an_alarm_ends_a_turn_at_its_time_and_tells_nobody() {
        let reactor = Reactor::new().unwrap();
        let (log, ..) = watched_pipe(&reactor);
        log.0.lock().unwrap().clear();
        let deadline = crate::clock::monotonic_ns() + 2_000_000;
        reactor.set_alarm(Some(deadline));
        while crate::clock::monotonic_ns() < deadline {
            reactor.turn();
        }
        assert!(log.0.lock().unwrap().iter().all(|readiness| !readiness.readable));
    }

    #[test]
    fn after_unwatch_nothing_is_told() {
        let reactor = Reactor::new().unwrap();
        let (log, id, reader, writer) = watched_pipe(&reactor);
        reactor.unwatch(id, reader.as_fd());
        io::write(&writer, b"x").unwrap();
        reactor.set_alarm(Some(1));
        reactor.turn();
        assert!(log.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_regular_file_cannot_be_watched() {
        let reactor = Reactor::new().unwrap();
        let file = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let target: Arc<dyn Ready> = Arc::new(Log::default());
        let error = reactor.watch(file.as_fd(), Arc::downgrade(&target)).unwrap_err();
        assert_eq!(error, io::Errno::PERM);
    }
}
