//! What a process does on each signal (sigaction(2)).

use abi::{SigAction, Signal};
use sched::Mutex;

/// The 64 actions of a process; shared by processes with `CLONE_SIGHAND`.
#[derive(Debug, state::Save, state::Load)]
pub struct SignalActions(#[state(early)] Mutex<[SigAction; 64]>);

impl Default for SignalActions {
    fn default() -> Self {
        Self(Mutex::new([SigAction::default(); 64]))
    }
}

impl SignalActions {
    /// The action of `signal`.
    #[must_use]
    pub fn get(&self, signal: Signal) -> SigAction {
        self.0.lock().get(index(signal)).copied().unwrap_or_default()
    }

    /// Sets the action of `signal` and returns the old one.
    pub fn set(&self, signal: Signal, action: SigAction) -> SigAction {
        match self.0.lock().get_mut(index(signal)) {
            Some(slot) => std::mem::replace(slot, action),
            None => SigAction::default(),
        }
    }

    /// True if `signal` does nothing: ignored, or by default nothing.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        let action = self.get(signal);
        action.handler == SigAction::IGNORE
            || (action.handler == SigAction::DEFAULT
                && signal.default_action() == abi::signal::DefaultAction::Ignore)
    }

    /// A copy of its own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Mutex::new(*self.0.lock()))
    }

    /// A copy for a new program: handlers become the default, ignored stays ignored (execve(2)).
    #[must_use]
    pub fn for_exec(&self) -> Self {
        let mut actions = *self.0.lock();
        for action in &mut actions {
            let handler = if action.handler == SigAction::IGNORE {
                SigAction::IGNORE
            } else {
                SigAction::DEFAULT
            };
            *action = SigAction { handler, ..SigAction::default() };
        }
        Self(Mutex::new(actions))
    }
}

fn index(signal: Signal) -> usize {
    usize::from(signal.number()) - 1
}
