//! Tasks (threads).

mod clone;
mod exec;
mod exit;
mod run;
mod stop;
mod timers;
mod wait;

pub use clone::CloneArgs;
pub use clone::flags as clone_flags;
pub use exec::{ExecArgs, credentials_for};
pub(crate) use timers::Timer;
pub use timers::{IntervalTimer, ProcessTimers, TimerNotify, TimerSetting};
pub use wait::{Event as WaitEvent, WaitOptions, WaitTarget, Waited};

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use abi::{Errno, SigSet, Signal, UserAddr};
use auth::Credentials;
use mm::MemoryManager;
use platform::{Context, UserState};
use sched::{Entity, Fiber, Mutex, WaitQueue};
use state::live::Live;

use crate::{
    ExitStatus, FdTable, FsContext, FsEnv, Kernel, Pid, Process, Resource,
    signal::{AltStack, Pending},
};

/// What a system call returns: a value, or an errno.
pub type SysResult = Result<u64, Errno>;

/// How an interrupted call goes on when `restart_syscall(2)` is called (deadlines are absolute, so
/// that nothing is waited for twice).
#[derive(Clone, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub enum Restart {
    /// Nothing to go on with.
    #[default]
    None,
    /// nanosleep(2), `clock_nanosleep(2)`: until when, and where the rest goes.
    Sleep {
        /// `CLOCK_MONOTONIC`, nanoseconds.
        deadline_ns: u64,
        /// Where to store what is left if interrupted by a handler (null: nowhere).
        rest: UserAddr,
    },
    /// poll(2): the array, its length, until when.
    Poll {
        /// The array.
        fds: UserAddr,
        /// Its length.
        count: u64,
        /// `CLOCK_MONOTONIC`, nanoseconds.
        deadline_ns: Option<u64>,
    },
    /// futex(2) `FUTEX_WAIT` with a relative time-out.
    Futex {
        /// The word.
        addr: UserAddr,
        /// Its expected value.
        value: u32,
        /// Until when, `CLOCK_MONOTONIC`.
        deadline_ns: u64,
        /// `FUTEX_PRIVATE_FLAG` was given.
        private: bool,
        /// The bit set.
        bitset: u32,
    },
}

/// A task: one thread of an application.
///
/// Other tasks may read and signal it; what only the task itself touches while it runs is in
/// [`Cx`].
#[derive(Debug, state::Save, state::Load)]
#[state(after_load = Task::loaded)]
pub struct Task {
    /// The kernel it lives in.
    pub kernel: Arc<Kernel>,
    /// Its process.
    pub process: Arc<Process>,
    /// Signals for this task alone.
    pub pending: Mutex<Pending>,
    /// The mask to return to after sigsuspend(2), ppoll(2) and their like.
    pub saved_mask: Mutex<Option<SigSet>>,
    /// Its alternate signal stack.
    pub alt_stack: Mutex<AltStack>,
    /// How an interrupted call goes on.
    pub restart: Mutex<Restart>,
    /// Its name (prctl(2), `PR_SET_NAME`), NUL-padded.
    pub name: Mutex<[u8; 16]>,
    /// Set to 0 at its end, and a futex woken there (`set_tid_address(2)`).
    pub clear_child_tid: AtomicU64,
    /// Head of the list of robust futexes (`set_robust_list(2)`).
    pub robust_list: AtomicU64,
    /// `PR_SET_PDEATHSIG`: signal at the death of its parent (0: none).
    pub parent_death_signal: AtomicU32,
    /// Where the file of the program lies, for `/proc/PID/exe`.
    pub exe: Mutex<Option<vfs::Path>>,
    /// What `/proc/PID/cmdline` and `environ` show: ranges of its memory.
    pub arguments: Mutex<crate::loader::ArgumentRanges>,
    /// CPUs it may run on (`sched_setaffinity(2)`), a bit for each; empty: all. Told back, not yet
    /// obeyed.
    pub affinity: Mutex<Vec<u8>>,
    /// Start time, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    tid: AtomicU32,
    #[state(skip)]
    entity: OnceLock<Arc<Entity>>,
    /// CPU time up to the checkpoint that it was loaded from, and up to now at a save.
    #[state(skip)]
    loaded_times: CpuTimes,
    saved_times: CpuTimes,
    blocked: AtomicU64,
    awaited: AtomicU64,
    dying: AtomicBool,
    mm: Mutex<Option<Arc<MemoryManager>>>,
    files: Mutex<Option<Arc<FdTable>>>,
    #[state(early)]
    fs: Mutex<Arc<FsContext>>,
    #[state(early)]
    creds: Mutex<Arc<Credentials>>,
    user: Mutex<Option<Box<UserState>>>,
    vfork: Mutex<Option<Arc<Vfork>>>,
    vfork_wait: Mutex<Option<Arc<Vfork>>>,
    #[state(skip)]
    _live: Live<Self>,
}

/// User and system time in nanoseconds.
#[derive(Debug, Default, state::Save, state::Load)]
struct CpuTimes {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
}

impl CpuTimes {
    fn get(&self) -> (u64, u64) {
        (self.user_ns.load(Ordering::Relaxed), self.system_ns.load(Ordering::Relaxed))
    }

    fn set(&self, (user_ns, system_ns): (u64, u64)) {
        self.user_ns.store(user_ns, Ordering::Relaxed);
        self.system_ns.store(system_ns, Ordering::Relaxed);
    }
}

/// A parent in vfork(2) waits for this.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct Vfork {
    done: AtomicBool,
    #[state(skip)]
    queue: WaitQueue,
}

impl Vfork {
    fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.queue.notify(1);
    }
}

/// What a task is made of.
pub(crate) struct TaskParts {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) process: Arc<Process>,
    pub(crate) tid: Pid,
    pub(crate) mm: Arc<MemoryManager>,
    pub(crate) files: Arc<FdTable>,
    pub(crate) fs: Arc<FsContext>,
    pub(crate) creds: Arc<Credentials>,
    pub(crate) user: Box<UserState>,
    pub(crate) name: [u8; 16],
    pub(crate) blocked: SigSet,
}

impl Task {
    pub(crate) fn new(parts: TaskParts) -> Arc<Self> {
        let start_ns = parts.kernel.sched.now_ns();
        Arc::new(Self {
            kernel: parts.kernel,
            process: parts.process,
            pending: Mutex::default(),
            saved_mask: Mutex::default(),
            alt_stack: Mutex::default(),
            restart: Mutex::default(),
            name: Mutex::new(parts.name),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            parent_death_signal: AtomicU32::new(0),
            exe: Mutex::new(None),
            arguments: Mutex::default(),
            affinity: Mutex::default(),
            start_ns,
            tid: AtomicU32::new(parts.tid.0),
            entity: OnceLock::new(),
            loaded_times: CpuTimes::default(),
            saved_times: CpuTimes::default(),
            blocked: AtomicU64::new(parts.blocked.0),
            awaited: AtomicU64::new(0),
            dying: AtomicBool::new(false),
            mm: Mutex::new(Some(parts.mm)),
            files: Mutex::new(Some(parts.files)),
            fs: Mutex::new(parts.fs),
            creds: Mutex::new(parts.creds),
            user: Mutex::new(Some(parts.user)),
            vfork: Mutex::new(None),
            vfork_wait: Mutex::new(None),
            _live: Live::new(),
        })
    }

    /// Its number. It changes once, when a task that is not the leader executes a program.
    #[must_use]
    pub fn tid(&self) -> Pid {
        Pid(self.tid.load(Ordering::Relaxed))
    }

    /// Its memory; `None` once it has ended.
    #[must_use]
    pub fn mm(&self) -> Option<Arc<MemoryManager>> {
        self.mm.lock().clone()
    }

    /// Its descriptors; `None` once it has ended.
    #[must_use]
    pub fn files(&self) -> Option<Arc<FdTable>> {
        self.files.lock().clone()
    }

    /// Where it stands in the tree of names.
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        self.fs.lock().clone()
    }

    /// Its credentials.
    #[must_use]
    pub fn creds(&self) -> Arc<Credentials> {
        self.creds.lock().clone()
    }

    /// Its blocked signals.
    #[must_use]
    pub fn blocked(&self) -> SigSet {
        SigSet(self.blocked.load(Ordering::SeqCst))
    }

    /// Sets the blocked signals; SIGKILL and SIGSTOP stay unblocked. Only for the task itself.
    pub fn set_blocked(&self, set: SigSet) {
        self.blocked.store(set.without(SigSet::UNBLOCKABLE).0, Ordering::SeqCst);
        if self.has_deliverable() {
            self.interrupt();
        }
    }

    /// Signals that sigtimedwait(2) waits for: they interrupt although they are blocked.
    pub fn set_awaited(&self, set: SigSet) {
        self.awaited.store(set.0, Ordering::SeqCst);
    }

    pub(crate) fn awaits(&self, signal: Signal) -> bool {
        SigSet(self.awaited.load(Ordering::SeqCst)).has(signal)
    }

    /// True if sending `signal` is to interrupt this task.
    pub(crate) fn wants(&self, signal: Signal) -> bool {
        !self.blocked().has(signal) || self.awaits(signal)
    }

    /// True if a signal is pending that is not blocked.
    #[must_use]
    pub fn has_deliverable(&self) -> bool {
        let pending = self.pending.lock().set().union(self.process.pending.lock().set());
        !pending.without(self.blocked()).is_empty()
    }

    /// All signals pending for it, its own and its process'.
    #[must_use]
    pub fn pending_set(&self) -> SigSet {
        self.pending.lock().set().union(self.process.pending.lock().set())
    }

    /// Brings it to the user boundary.
    pub fn interrupt(&self) {
        if let Some(entity) = self.entity.get() {
            entity.interrupt();
        }
    }

    /// Ends it: it goes to the user boundary, whatever it waits for, and exits there.
    pub(crate) fn kill(&self) {
        self.dying.store(true, Ordering::SeqCst);
        if let Some(entity) = self.entity.get() {
            entity.kill();
        }
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    /// The schedulable part.
    #[must_use]
    pub fn entity(&self) -> Option<&Arc<Entity>> {
        self.entity.get()
    }

    /// User and system time in nanoseconds.
    #[must_use]
    pub fn cpu_times(&self) -> (u64, u64) {
        let before = self.loaded_times.get();
        let now = self.entity.get().map_or((0, 0), |e| (e.user_ns(), e.system_ns()));
        (before.0.saturating_add(now.0), before.1.saturating_add(now.1))
    }

    /// Before a save: notes what the scheduler alone knows.
    pub(crate) fn prepare_save(&self) {
        self.saved_times.set(self.cpu_times());
    }

    fn loaded(&self) -> state::Result<()> {
        self.loaded_times.set(self.saved_times.get());
        let size_bytes = self.kernel.platform.fpu_size_bytes();
        let user = self.user.lock();
        match user.as_ref().map(|user| user.fpu.as_bytes().len()) {
            Some(saved) if saved != size_bytes => Err(state::Error::cannot_load(format!(
                "this CPU has {size_bytes} bytes of FPU state, that of the image has {saved}"
            ))),
            _ => Ok(()),
        }
    }

    /// True if it runs or wants to, rather than wait.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.entity.get().is_some_and(|entity| !entity.is_blocked())
    }

    /// Its name without padding.
    #[must_use]
    pub fn name_bytes(&self) -> Vec<u8> {
        self.name.lock().iter().copied().take_while(|byte| *byte != 0).collect()
    }

    /// Makes it runnable for the first time.
    pub(crate) fn launch(self: &Arc<Self>) {
        let entity = self.kernel.sched.spawn(self.clone());
        let _ = self.entity.set(entity.clone());
        if self.is_dying() {
            entity.kill();
        } else if self.has_deliverable() {
            entity.interrupt();
        }
        self.kernel.sched.start(&entity);
    }
}

/// A running task, with what only it touches: what system-call handlers work on.
pub struct Cx<'a> {
    /// The task.
    pub task: &'a Arc<Task>,
    /// Its fiber: waiting goes through it.
    pub fiber: &'a Fiber<'a>,
    /// Its registers.
    pub user: Box<UserState>,
    /// Its memory.
    pub mm: Arc<MemoryManager>,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    context: &'a dyn Context,
    /// The number of an interrupted call's errno, to be settled at the boundary.
    restart: Option<Errno>,
    /// It is to end, with this status.
    exit: Option<ExitStatus>,
    /// The handler has set all registers: leave `rax` alone.
    keep_registers: bool,
    fault: (u64, u64, u64),
}

impl<'a> Cx<'a> {
    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &'a Arc<Kernel> {
        &self.task.kernel
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &'a Arc<Process> {
        &self.task.process
    }

    /// Its credentials.
    #[must_use]
    pub fn creds(&self) -> Arc<Credentials> {
        self.task.creds()
    }

    /// What file operations need: `let env = cx.env(); let fs = env.ctx();`
    #[must_use]
    pub fn env(&self) -> FsEnv<'a> {
        self.task.fs().env(self.fiber, self.creds(), Some(self.task))
    }

    /// Like [`Cx::env`] with other credentials (access(2) asks with the real ids).
    #[must_use]
    pub fn env_as(&self, creds: Arc<Credentials>) -> FsEnv<'a> {
        self.task.fs().env(self.fiber, creds, Some(self.task))
    }

    /// Sets the credentials.
    pub fn set_creds(&mut self, creds: Credentials) {
        *self.task.creds.lock() = Arc::new(creds);
    }

    /// Stops sharing the descriptor table (unshare(2), `CLONE_FILES`).
    pub fn unshare_files(&mut self) {
        let copy = self.files.duplicate();
        let old = std::mem::replace(&mut self.files, copy.clone());
        *self.task.files.lock() = Some(copy);
        self.release_files(old);
    }

    /// Stops sharing root, current directory and umask (unshare(2), `CLONE_FS`).
    pub fn unshare_fs(&mut self) {
        let copy = self.task.fs().duplicate();
        *self.task.fs.lock() = copy;
    }

    /// Gives `file` the lowest free descriptor.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn install(&self, file: Arc<vfs::OpenFile>, close_on_exec: bool) -> Result<i32, Errno> {
        let limit = self.process().limits.lock().soft(Resource::Nofile);
        self.files.insert(file, close_on_exec, 0, limit)
    }

    /// Closes descriptor `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        let file = self.files.remove(fd)?;
        let env = self.env();
        self.files.closed(&env.ctx(), &file);
        Ok(())
    }

    /// Now, `CLOCK_MONOTONIC` nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.kernel().sched.now_ns()
    }

    /// Makes the FPU image exact.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the address space is lost.
    pub fn save_fpu(&mut self) -> Result<(), Errno> {
        self.context.save_fpu(&mut self.user).map_err(|_| Errno::EFAULT)
    }

    /// The handler has set all registers (sigreturn, execve).
    pub fn keep_registers(&mut self) {
        self.keep_registers = true;
    }

    /// True if the task is to end and runs no more application code.
    #[must_use]
    pub fn leaving(&self) -> bool {
        self.exit.is_some() || self.task.is_dying()
    }

    pub(crate) fn take_restart(&mut self) -> Option<Errno> {
        self.restart.take()
    }

    /// Error code, trap number and address of the last fault, for signal frames.
    pub(crate) fn fault_record(&self) -> (u64, u64, u64) {
        self.fault
    }

    /// Ends this task alone (exit(2)).
    pub fn exit_thread(&mut self, status: ExitStatus) {
        self.exit.get_or_insert(status);
    }

    /// Ends the process (`exit_group(2)`).
    pub fn exit_group(&mut self, status: ExitStatus) {
        self.process().kill_all(status);
        let status = self.process().exiting().unwrap_or(status);
        self.exit.get_or_insert(status);
    }
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("tid", &self.task.tid()).finish_non_exhaustive()
    }
}
