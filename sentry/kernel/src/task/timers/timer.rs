//! One timer of a process.

use std::sync::{Arc, OnceLock, Weak};

use abi::{SigFields, SigInfo, Signal, signal::code};
use sched::{Fire, Mutex, TimerId};

use super::{
    SECOND_NS,
    alarm::{Alarm, TimerSetting},
    clock::Clock,
};
use crate::{Kernel, Process, Resource, Task, signal::Sender};

/// Shortest time between two looks at one timer: shorter intervals are counted as overruns. Else
/// a program with an interval of a nanosecond would keep the I/O thread busy.
const LOOK_MIN_NS: u64 = 100_000;
/// The same while nobody takes its signal.
const LOOK_UNTAKEN_MAX_NS: u64 = 10_000_000;
/// Shortest and longest time between two looks at a clock of CPU time that may stand still: it is
/// looked at, since nothing tells when tasks have run for so long.
const CPU_LOOK_MIN_NS: u64 = 1_000_000;
const CPU_LOOK_MAX_NS: u64 = 16_000_000;
/// The most overruns that are told (`DELAYTIMER_MAX`, `timer_getoverrun(2)`).
const OVERRUN_MAX: u64 = i32::MAX as u64;

/// Whom a timer tells.
#[derive(Clone, Debug, state::Save, state::Load)]
pub(super) enum Notify {
    /// Nobody: it is only asked.
    Nobody,
    /// The process, by a signal of the kernel (setitimer(2)).
    Interval(Signal),
    /// The process, by a signal with a value (`timer_create(2)`, `SIGEV_SIGNAL`).
    Process(Signal, u64),
    /// One task (`SIGEV_THREAD_ID`).
    Task(Weak<Task>, Signal, u64),
    /// The process, that it has used up its CPU time.
    CpuLimit,
}

/// A timer.
#[derive(Debug, state::Save, state::Load)]
#[state(after_load = Timer::loaded)]
pub(crate) struct Timer {
    /// Its number; 0 for interval timers.
    id: i32,
    kernel: Weak<Kernel>,
    process: Weak<Process>,
    clock: Clock,
    notify: Notify,
    itself: OnceLock<Weak<Self>>,
    state: Mutex<State>,
}

#[derive(Debug, Default, state::Save, state::Load)]
struct State {
    alarm: Alarm,
    /// It goes by `CLOCK_MONOTONIC` though its clock is real time: it was set to a span, which does
    /// not change when the clock is set.
    is_span: bool,
    #[state(skip)]
    armed: Option<TimerId>,
    /// The shortest time until the next look.
    pause_ns: u64,
    /// What the clock showed at the last look.
    looked_ns: u64,
    /// Overruns of the signal that was taken last.
    overrun: u64,
}

impl Timer {
    pub(super) fn new(
        id: i32,
        (kernel, process): (&Arc<Kernel>, &Arc<Process>),
        clock: Clock,
        notify: Notify,
    ) -> Arc<Self> {
        let timer = Arc::new(Self {
            id,
            kernel: Arc::downgrade(kernel),
            process: Arc::downgrade(process),
            clock,
            notify,
            itself: OnceLock::new(),
            state: Mutex::default(),
        });
        let _ = timer.itself.set(Arc::downgrade(&timer));
        timer
    }

    /// After a load: the scheduler is to look at it again.
    fn loaded(&self) -> state::Result<()> {
        if let (Some(kernel), Some(process)) = (self.kernel.upgrade(), self.process.upgrade()) {
            self.arm(&mut self.state.lock(), &kernel, &process);
        }
        Ok(())
    }

    /// Sets it, and returns what was left.
    pub(super) fn set(&self, setting: TimerSetting, absolute: bool) -> TimerSetting {
        let (Some(kernel), Some(process)) = (self.kernel.upgrade(), self.process.upgrade()) else {
            return TimerSetting::default();
        };
        let mut state = self.state.lock();
        let old = self.setting_of(&state, &process);
        let is_span = !absolute && matches!(self.clock, Clock::Realtime);
        let TimerSetting { value_ns, interval_ns } = setting;
        *state = State { armed: state.armed, is_span, ..State::default() };
        if value_ns > 0 {
            let now = if absolute { 0 } else { self.now_ns(&state, &process) };
            state.alarm = Alarm::new(now.saturating_add(value_ns), interval_ns);
        }
        self.arm(&mut state, &kernel, &process);
        old
    }

    /// What is left.
    pub(super) fn setting(&self) -> TimerSetting {
        match self.process.upgrade() {
            Some(process) => self.setting_of(&self.state.lock(), &process),
            None => TimerSetting::default(),
        }
    }

    fn setting_of(&self, state: &State, process: &Process) -> TimerSetting {
        let now = self.now_ns(state, process);
        let mut alarm = state.alarm;
        if matches!(self.notify, Notify::Nobody) {
            alarm.expire(now);
        }
        alarm.setting(now)
    }

    /// Overruns of the signal that was taken last (`timer_getoverrun(2)`).
    pub(super) fn overrun(&self) -> u64 {
        self.state.lock().overrun
    }

    /// Its signal was taken, with so many overruns: counts what has expired since the last look
    /// too, and looks as often as usual again. Returns all overruns.
    pub(super) fn taken(&self, overrun: i32) -> i32 {
        let (Some(kernel), Some(process)) = (self.kernel.upgrade(), self.process.upgrade()) else {
            return overrun;
        };
        let mut state = self.state.lock();
        let now = self.now_ns(&state, &process);
        let more = state.alarm.expire(now);
        let all = u64::try_from(overrun).unwrap_or(0).saturating_add(more).min(OVERRUN_MAX);
        state.overrun = all;
        state.pause_ns = LOOK_MIN_NS;
        self.arm(&mut state, &kernel, &process);
        i32::try_from(all).unwrap_or(i32::MAX)
    }

    /// Never goes off any more.
    pub(super) fn disarm(&self) {
        let mut state = self.state.lock();
        state.alarm = Alarm::default();
        if let (Some(armed), Some(kernel)) = (state.armed.take(), self.kernel.upgrade()) {
            kernel.sched.timers().cancel(armed);
        }
    }

    fn now_ns(&self, state: &State, process: &Process) -> u64 {
        let clock = if state.is_span { &Clock::Monotonic } else { &self.clock };
        clock.now_ns(process)
    }

    /// Arranges the next look.
    fn arm(&self, state: &mut State, kernel: &Kernel, process: &Process) {
        let timers = kernel.sched.timers();
        if let Some(armed) = state.armed.take() {
            timers.cancel(armed);
        }
        let Some(deadline) = state.alarm.deadline_ns() else { return };
        if matches!(self.notify, Notify::Nobody) {
            return;
        }
        let now = self.now_ns(state, process);
        let left = deadline.saturating_sub(now);
        let wait = match self.clock.speed(process, kernel.sched.executors()) {
            None => left.max(state.pause_ns),
            Some(speed) => {
                let idle = now == state.looked_ns;
                let pause = if idle { state.pause_ns.saturating_mul(2) } else { 0 };
                state.pause_ns = pause.clamp(CPU_LOOK_MIN_NS, CPU_LOOK_MAX_NS);
                (left / speed).max(state.pause_ns)
            }
        };
        state.looked_ns = now;
        let Some(itself) = self.itself.get() else { return };
        let target: Weak<dyn Fire> = itself.clone();
        state.armed = Some(timers.arm(kernel.sched.now_ns().saturating_add(wait), target));
    }

    /// True if a signal of this timer waits to be taken.
    fn is_pending(&self, process: &Process) -> bool {
        match &self.notify {
            Notify::Nobody | Notify::CpuLimit => false,
            Notify::Interval(signal) => process.pending.lock().set().has(*signal),
            Notify::Process(..) => process.pending.lock().has_timer(self.id),
            Notify::Task(task, ..) => {
                task.upgrade().is_some_and(|task| task.pending.lock().has_timer(self.id))
            }
        }
    }

    fn send(&self, process: &Process, overrun: u64) {
        let overrun = i32::try_from(overrun).unwrap_or(i32::MAX);
        let info = |signal, value| SigInfo {
            signal,
            errno: 0,
            code: code::SI_TIMER,
            fields: SigFields::Timer { id: self.id, overrun, value },
        };
        // Where there is no room or nobody any more, nothing is to be done.
        let _ = match &self.notify {
            Notify::Nobody => Ok(()),
            Notify::Interval(signal) => process.send(SigInfo::kernel(*signal), Sender::Inside),
            Notify::Process(signal, value) => process.send(info(*signal, *value), Sender::Inside),
            Notify::Task(task, signal, value) => match task.upgrade() {
                Some(task) => task.send(info(*signal, *value), Sender::Inside),
                None => Ok(()),
            },
            Notify::CpuLimit => {
                let hard = process.limits.lock().get(Resource::Cpu).hard;
                let used = self.clock.now_ns(process) / SECOND_NS;
                let signal = if used >= hard { Signal::SIGKILL } else { Signal::SIGXCPU };
                process.send(SigInfo::kernel(signal), Sender::Inside)
            }
        };
    }
}

impl Fire for Timer {
    fn fire(&self, _now_ns: u64) {
        let (Some(kernel), Some(process)) = (self.kernel.upgrade(), self.process.upgrade()) else {
            return;
        };
        let was_pending = self.is_pending(&process);
        let overrun = {
            let mut state = self.state.lock();
            let now = self.now_ns(&state, &process);
            let expired = state.alarm.expire(now);
            if expired > 0 {
                let pause = if was_pending { state.pause_ns.saturating_mul(2) } else { 0 };
                state.pause_ns = pause.clamp(LOOK_MIN_NS, LOOK_UNTAKEN_MAX_NS);
            }
            self.arm(&mut state, &kernel, &process);
            // One that waits has its own expiration already.
            (expired > 0).then(|| expired - u64::from(!was_pending))
        };
        if let Some(overrun) = overrun {
            self.send(&process, overrun);
        }
    }
}
