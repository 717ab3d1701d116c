//! Timers of a process without tasks: its signals stay pending, where they can be seen.

use abi::{SigFields, SigInfo, SigSet};

use super::*;
use crate::{ExitStatus, Limits, Process, loader::tests::kernel, signal::SignalActions};

const MS: u64 = 1_000_000;

struct World {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
}

impl World {
    fn new() -> Self {
        let actions = Arc::new(SignalActions::default());
        let process = Process::new(Pid(7), actions, Limits::default());
        Self { kernel: kernel(), process }
    }

    fn set_interval(&self, which: IntervalTimer, value_ns: u64, interval_ns: u64) -> TimerSetting {
        let setting = TimerSetting { value_ns, interval_ns };
        self.process.timers.set_interval(&self.kernel, &self.process, which, setting)
    }

    /// Makes a timer without a task, which is not to be had here.
    fn create(&self, clock: Clock, notify: Notify) -> Arc<Timer> {
        let mut inner = self.process.timers.0.lock();
        let id = inner.free_id().unwrap();
        let timer = Timer::new(id, (&self.kernel, &self.process), clock, notify);
        inner.posix.insert(id, timer.clone());
        timer
    }

    fn take(&self) -> Option<SigInfo> {
        let info = self.process.pending.lock().take(SigSet::ALL)?;
        Some(self.process.timers.taken(info))
    }

    /// Waits for a signal; the deadline is far beyond what any host needs.
    fn wait(&self) -> SigInfo {
        let deadline = host::clock::monotonic_ns() + 60_000 * MS;
        loop {
            if let Some(info) = self.take() {
                return info;
            }
            assert!(host::clock::monotonic_ns() < deadline, "no signal came");
            host::thread::yield_now();
        }
    }
}

fn signal(number: u64) -> Signal {
    Signal::new(number).unwrap()
}

#[test]
fn a_real_interval_timer_sends_again_and_again_until_it_is_disarmed() {
    let world = World::new();
    let start = host::clock::monotonic_ns();
    assert_eq!(world.set_interval(IntervalTimer::Real, 2 * MS, MS), TimerSetting::default());
    for _ in 0..3 {
        assert_eq!(world.wait(), SigInfo::kernel(Signal::SIGALRM));
    }
    assert!(host::clock::monotonic_ns() - start >= 4 * MS);
    let old = world.set_interval(IntervalTimer::Real, 0, 0);
    assert!(old.value_ns > 0 && old.interval_ns == MS);
    world.take();
    let off = world.process.timers.interval(IntervalTimer::Real);
    assert_eq!(off, TimerSetting::default());
}

#[test]
fn what_is_left_is_told() {
    let world = World::new();
    world.set_interval(IntervalTimer::Real, 3_600_000 * MS, 5 * MS);
    let left = world.process.timers.interval(IntervalTimer::Real);
    assert!((3_000_000 * MS..=3_600_000 * MS).contains(&left.value_ns));
    assert_eq!(left.interval_ns, 5 * MS);
    let old = world.set_interval(IntervalTimer::Real, 7, 0);
    assert!(old.value_ns <= left.value_ns && old.value_ns > 0);
}

/// A process without tasks uses no CPU time.
#[test]
fn timers_of_cpu_time_wait_while_nothing_runs() {
    let world = World::new();
    world.set_interval(IntervalTimer::Virtual, 1, 0);
    world.set_interval(IntervalTimer::Prof, 1, 0);
    // Long enough for many looks: a timer of real time says when.
    world.set_interval(IntervalTimer::Real, 30 * MS, 0);
    assert_eq!(world.wait(), SigInfo::kernel(Signal::SIGALRM));
    assert_eq!(world.take(), None);
    assert_eq!(world.process.timers.interval(IntervalTimer::Prof).value_ns, 1);
    let used = &world.process.times.ended_user_ns;
    used.store(1, std::sync::atomic::Ordering::Relaxed);
    let mut signals = [world.wait().signal, world.wait().signal];
    signals.sort_unstable();
    assert_eq!(signals, [Signal::SIGVTALRM, Signal::SIGPROF]);
}

#[test]
fn used_up_cpu_time_is_told_each_second_and_deadly_at_last() {
    let world = World::new();
    let timers = &world.process.timers;
    let limit = |soft, hard| {
        world.process.limits.lock().set(Resource::Cpu, Limit { soft, hard });
        timers.limit_cpu(&world.kernel, &world.process);
    };
    let used = &world.process.times.ended_user_ns;
    let use_up = |ns| used.store(ns, std::sync::atomic::Ordering::Relaxed);
    limit(1, 3);
    use_up(SECOND_NS);
    assert_eq!(world.wait(), SigInfo::kernel(Signal::SIGXCPU));
    use_up(2 * SECOND_NS);
    assert_eq!(world.wait(), SigInfo::kernel(Signal::SIGXCPU));
    assert_eq!(world.process.exiting(), None);
    use_up(3 * SECOND_NS);
    let deadline = host::clock::monotonic_ns() + 60_000 * MS;
    while world.process.exiting().is_none() {
        assert!(host::clock::monotonic_ns() < deadline);
    }
    let killed = ExitStatus::Signaled { signal: Signal::SIGKILL, core: false };
    assert_eq!(world.process.exiting(), Some(killed));
    limit(Limit::NONE.soft, Limit::NONE.hard);
    use_up(9 * SECOND_NS);
    world.set_interval(IntervalTimer::Real, 20 * MS, 0);
    assert_eq!(world.wait(), SigInfo::kernel(Signal::SIGALRM));
}

#[test]
fn a_signal_that_nobody_takes_gathers_overruns() {
    let world = World::new();
    let timer = world.create(Clock::Monotonic, Notify::Process(signal(40), 77));
    timer.set(TimerSetting { value_ns: 1, interval_ns: 1000 }, false);
    // Until many intervals have passed, though only one signal waits.
    let deadline = host::clock::monotonic_ns() + 60_000 * MS;
    while world.process.pending.lock().is_empty() {
        assert!(host::clock::monotonic_ns() < deadline);
    }
    assert_eq!(timer.overrun(), 0);
    let until = host::clock::monotonic_ns() + 20 * MS;
    while host::clock::monotonic_ns() < until {
        assert!(world.process.pending.lock().len() <= 1);
    }
    let info = world.wait();
    timer.disarm();
    // One for each microsecond.
    let expected = |fields| match fields {
        SigFields::Timer { id: 0, overrun, value: 77 } => overrun >= 20_000,
        _ => false,
    };
    assert!(expected(info.fields), "{info:?}");
    assert!(timer.overrun() >= 20_000);
}

#[test]
fn absolute_times_of_all_clocks_are_met() {
    let world = World::new();
    for clock in [Clock::Realtime, Clock::Monotonic, Clock::Boottime] {
        let timer = world.create(clock.clone(), Notify::Process(Signal::SIGUSR1, 5));
        let at = clock.now_ns(&world.process) + 3 * MS;
        timer.set(TimerSetting { value_ns: at, interval_ns: 0 }, true);
        let left = timer.setting().value_ns;
        assert!(left > 0 && left <= 3 * MS);
        let info = world.wait();
        assert!(clock.now_ns(&world.process) >= at);
        assert!(matches!(info.fields, SigFields::Timer { overrun: 0, value: 5, .. }));
        assert_eq!(timer.setting(), TimerSetting::default());
        // One that is long past goes off at once.
        timer.set(TimerSetting { value_ns: 1, interval_ns: 0 }, true);
        world.wait();
    }
}

#[test]
fn one_that_tells_nobody_can_be_asked() {
    let world = World::new();
    let timer = world.create(Clock::Monotonic, Notify::Nobody);
    timer.set(TimerSetting { value_ns: 1, interval_ns: 0 }, false);
    while timer.setting() != TimerSetting::default() {}
    timer.set(TimerSetting { value_ns: 3_600_000 * MS, interval_ns: 9 }, false);
    assert_eq!(timer.setting().interval_ns, 9);
    assert_eq!(world.take(), None);
}

#[test]
fn a_new_program_keeps_interval_timers_only() {
    let world = World::new();
    let timer = world.create(Clock::Monotonic, Notify::Process(signal(50), 0));
    timer.set(TimerSetting { value_ns: 1, interval_ns: MS }, false);
    world.set_interval(IntervalTimer::Real, 3_600_000 * MS, 0);
    let deadline = host::clock::monotonic_ns() + 60_000 * MS;
    while world.process.pending.lock().is_empty() {
        assert!(host::clock::monotonic_ns() < deadline);
    }
    world.process.timers.exec(&world.process);
    assert!(world.process.pending.lock().is_empty());
    assert_eq!(world.process.timers.setting(0), Err(Errno::EINVAL));
    assert!(world.process.timers.interval(IntervalTimer::Real).value_ns > 0);
    world.process.timers.disarm_all();
    let off = world.process.timers.interval(IntervalTimer::Real);
    assert_eq!(off, TimerSetting::default());
}

#[test]
fn numbers_are_not_given_out_twice() {
    let world = World::new();
    let timers = &world.process.timers;
    for _ in 0..3 {
        world.create(Clock::Monotonic, Notify::Nobody);
    }
    assert_eq!(timers.ids(), [0, 1, 2]);
    timers.0.lock().next_id = i32::MAX;
    assert_eq!(timers.0.lock().free_id(), Some(i32::MAX));
    assert_eq!(timers.0.lock().free_id(), Some(3));
    assert_eq!(timers.delete(1), Ok(()));
    assert_eq!(timers.delete(1), Err(Errno::EINVAL));
    assert_eq!(timers.overrun(1), Err(Errno::EINVAL));
    let setting = TimerSetting::default();
    assert_eq!(timers.set(9, setting, true), Err(Errno::EINVAL));
}

#[test]
fn there_are_as_many_as_the_limit_of_signals_allows() {
    let world = World::new();
    let task = crate::loader::tests::task(&world.kernel);
    let timers = &task.process.timers;
    let create = |clock, notify| timers.create(&world.kernel, &task, clock, notify);
    let process = TimerNotify::Process(None);
    for clock in [0, 1, 2, 3, 7, !(7 << 3) & !7 | 2] {
        let expected = if clock < 0 { Err(Errno::EINVAL) } else { Ok(()) };
        assert_eq!(create(clock, process).map(drop), expected, "{clock}");
    }
    assert_eq!(create(5, process), Err(Errno::EOPNOTSUPP));
    assert_eq!(create(12, process), Err(Errno::EINVAL));
    let stranger = TimerNotify::Task(Pid(4711), Signal::SIGUSR1, 0);
    assert_eq!(create(1, stranger), Err(Errno::EINVAL));
    let count = timers.ids().len() as u64;
    let limit = Limit { soft: count + 1, hard: count + 1 };
    task.process.limits.lock().set(Resource::Sigpending, limit);
    assert!(create(1, TimerNotify::Nobody).is_ok());
    assert_eq!(create(1, TimerNotify::Nobody), Err(Errno::EAGAIN));
}
