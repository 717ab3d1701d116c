//! Signals that are read instead of handled (`signalfd(2)`).

use std::{any::Any, sync::Arc};

use abi::{
    Errno, SigFields, SigInfo, SigSet,
    fs::{
        open::{O_CLOEXEC, O_NONBLOCK, O_RDONLY},
        poll::{POLLIN, POLLRDNORM},
    },
};
use kernel::{Process, Task};
use sched::{Mutex, WaitQueue};
use state::live::Live;
use vfs::{Ctx, Dst, File, Inode, OpenFile};

use crate::{Shared, base::AnonInode};

/// Size of `struct signalfd_siginfo`.
const RECORD_BYTES: usize = 128;

/// A descriptor for pending signals of the process that made it.
///
/// On Linux a child that inherits it reads its own signals. Here the signals stay those of its
/// maker, and another process can't read: `EINVAL`.
#[derive(Debug, state::Save, state::Load)]
pub struct SignalFd {
    wanted: Mutex<SigSet>,
    process: Arc<Process>,
    inode: Arc<AnonInode>,
    #[state(skip)]
    _live: Live<Self>,
}

/// `signalfd4(2)` with `fd` -1: makes one for the signals `wanted`. `SFD_CLOEXEC` is the caller's.
///
/// # Errors
///
/// `EINVAL` for an unknown flag.
pub fn signalfd(
    shared: &Arc<Shared>,
    process: &Arc<Process>,
    wanted: SigSet,
    flags: u32,
) -> Result<Arc<OpenFile>, Errno> {
    if flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Arc::new(SignalFd {
        wanted: Mutex::new(wanted.without(SigSet::UNBLOCKABLE)),
        process: Arc::clone(process),
        inode: Arc::clone(shared.anonymous_inode()),
        _live: Live::new(),
    });
    Ok(OpenFile::new(file, None, O_RDONLY | (flags & O_NONBLOCK)))
}

impl SignalFd {
    /// `signalfd4(2)` for one that is there: other signals from now on.
    pub fn set_wanted(&self, wanted: SigSet) {
        *self.wanted.lock() = wanted.without(SigSet::UNBLOCKABLE);
        self.process.signal_sent.notify(POLLIN | POLLRDNORM);
    }

    /// What is pending for all, and for the only thread if there is just one: whoever is told
    /// to read must find something.
    fn pending(&self) -> SigSet {
        let shared = self.process.pending.lock().set();
        let threads = self.process.threads();
        match threads.as_slice() {
            [only] => shared.union(only.pending.lock().set()),
            _ => shared,
        }
    }

    fn take(&self, task: &Task) -> Option<SigInfo> {
        let wanted = *self.wanted.lock();
        if let Some(own) = task.pending.lock().take(wanted) {
            return Some(task.process.timers.taken(own));
        }
        let shared = self.process.pending.lock().take(wanted)?;
        Some(self.process.timers.taken(shared))
    }
}

/// `struct signalfd_siginfo`.
fn record(info: &SigInfo) -> [u8; RECORD_BYTES] {
    let mut out = [0; RECORD_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        out.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, &u32::from(info.signal.number()).to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    // ssi_pid at 12, ssi_uid at 16, ssi_int at 44, ssi_ptr at 48.
    match info.fields {
        SigFields::None | SigFields::Raw(_) => {}
        SigFields::Kill { pid, uid } => {
            put(12, &pid.to_ne_bytes());
            put(16, &uid.to_ne_bytes());
        }
        SigFields::Queue { pid, uid, value: sent } => {
            put(12, &pid.to_ne_bytes());
            put(16, &uid.to_ne_bytes());
            let bytes = sent.to_ne_bytes();
            put(44, bytes.get(..4).unwrap_or_default());
            put(48, &bytes);
        }
        SigFields::Timer { id, overrun, value: sent } => {
            put(24, &id.to_ne_bytes());
            put(32, &overrun.to_ne_bytes());
            let bytes = sent.to_ne_bytes();
            put(44, bytes.get(..4).unwrap_or_default());
            put(48, &bytes);
        }
        SigFields::Child { pid, uid, status, utime, stime } => {
            put(12, &pid.to_ne_bytes());
            put(16, &uid.to_ne_bytes());
            put(40, &status.to_ne_bytes());
            put(56, &utime.to_ne_bytes());
            put(64, &stime.to_ne_bytes());
        }
        SigFields::Fault { addr } => put(72, &addr.to_ne_bytes()),
        SigFields::Poll { band, fd } => {
            put(20, &fd.to_ne_bytes());
            put(28, band.to_ne_bytes().get(..4).unwrap_or_default());
        }
        SigFields::Sys { addr, .. } => put(72, &addr.to_ne_bytes()),
    }
    out
}

impl File for SignalFd {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        let task = cx.task.and_then(|task| task.downcast_ref::<Task>()).ok_or(Errno::EINVAL)?;
        if dst.remaining() < RECORD_BYTES || !Arc::ptr_eq(&task.process, &self.process) {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while dst.remaining() >= RECORD_BYTES {
            let Some(info) = self.take(task) else { break };
            done += dst.put(&record(&info))?;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self) -> u32 {
        let wanted = *self.wanted.lock();
        let some = !self.pending().intersection(wanted).is_empty();
        if some { POLLIN | POLLRDNORM } else { 0 }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.process.signal_sent)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn link_text(&self) -> String {
        "anon_inode:[signalfd]".to_owned()
    }

    fn fdinfo(&self) -> String {
        format!("sigmask:\t{:016x}\n", self.wanted.lock().0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use abi::Signal;

    use super::*;

    #[test]
    fn a_record_has_the_layout_of_linux() {
        let bytes = record(&SigInfo::user(Signal::SIGUSR1, 7, 9));
        assert_eq!(bytes[..4], 10_u32.to_ne_bytes());
        assert_eq!(bytes[12..20], [7_u32.to_ne_bytes(), 9_u32.to_ne_bytes()].concat());
        let fields = SigFields::Queue { pid: 1, uid: 2, value: 0x1_0000_0005 };
        let bytes = record(&SigInfo { fields, ..SigInfo::kernel(Signal::SIGHUP) });
        assert_eq!(bytes[44..48], 5_u32.to_ne_bytes());
        assert_eq!(bytes[48..56], 0x1_0000_0005_u64.to_ne_bytes());
    }
}
