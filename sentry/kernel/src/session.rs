//! Sessions and their controlling terminals (setsid(2), credentials(7)).

use std::{any::Any, fmt, sync::Arc};

use sched::Mutex;

use crate::Pid;

/// A terminal that can control a session; implemented by `devpts`.
pub trait ControllingTty: Any + state::Object + fmt::Debug {
    /// The session leader is gone: hang up.
    fn hang_up(&self);

    /// The foreground process group.
    fn foreground(&self) -> Option<Pid>;

    /// Device number, as `/proc/PID/stat` shows it.
    fn device(&self) -> u64;

    /// For `devpts` itself: back to its own type.
    fn as_any(&self) -> &dyn Any;
}

/// A session.
#[derive(Debug, state::Save, state::Load)]
pub struct Session {
    /// Its number: the pid of its founder.
    pub sid: Pid,
    /// Its controlling terminal.
    pub tty: Mutex<Option<Arc<dyn ControllingTty>>>,
}

impl Session {
    /// Makes a session without a terminal.
    #[must_use]
    pub fn new(sid: Pid) -> Arc<Self> {
        Arc::new(Self { sid, tty: Mutex::new(None) })
    }
}
