//! The kernel: the root of all objects of a sandbox.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use auth::Credentials;
use mm::{Charge, Memory};
use platform::{Context, Platform, PlatformError};
use sched::{Mutex, Sched, WaitQueue};
use vfs::MountNamespace;

use crate::{
    Cx, ExitStatus, FdTable, FsContext, Limits, Node, Pid, Process, Session, SysResult, Task, Tree,
    Uts,
    futex::FutexTable,
    signal::SignalActions,
    task::{ExecArgs, TaskParts},
};

/// The table of system calls, which lives above the kernel.
pub trait SyscallTable: Send + Sync + fmt::Debug {
    /// Carries out call `number` of the running task.
    ///
    /// # Errors
    ///
    /// What the call returns; `ENOSYS` for a number that is not served.
    fn call(&self, cx: &mut Cx<'_>, number: u64, args: [u64; 6]) -> SysResult;
}

/// What a kernel is made of.
#[derive(Debug)]
pub struct KernelArgs {
    /// Runs application code.
    pub platform: Arc<dyn Platform>,
    /// All application memory.
    pub memory: Arc<Memory>,
    /// What the container's memory is charged to.
    pub charge: Arc<Charge>,
    /// The executors.
    pub sched: Arc<Sched>,
    /// The system calls.
    pub syscalls: Box<dyn SyscallTable>,
    /// Host and domain name.
    pub uts: Uts,
    /// Pages of the vDSO, for the loader.
    pub vdso: Option<Arc<crate::loader::Vdso>>,
}

/// The kernel of a sandbox.
#[derive(state::Save, state::Load)]
pub struct Kernel {
    /// Runs application code.
    #[state(given)]
    pub platform: Arc<dyn Platform>,
    /// All application memory.
    pub memory: Arc<Memory>,
    /// What the container's memory is charged to.
    pub charge: Arc<Charge>,
    /// The executors.
    #[state(given)]
    pub sched: Arc<Sched>,
    /// The system calls.
    #[state(given)]
    pub syscalls: Arc<dyn SyscallTable>,
    /// Host and domain name.
    #[state(early)]
    pub uts: Mutex<Uts>,
    /// All tasks and processes.
    pub tree: Mutex<Tree>,
    /// Who waits for which futex.
    #[state(skip)]
    pub futexes: FutexTable,
    /// Pages of the vDSO.
    pub vdso: Option<Arc<crate::loader::Vdso>>,
    /// `CLOCK_MONOTONIC` nanoseconds at which the sandbox started.
    pub boot_ns: u64,
    /// What file systems share, set and known by `fs`.
    #[state(skip)]
    pub files: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// State of the network, set and known by `net`.
    #[state(skip)]
    pub net: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// Numbers of unknown system calls that were made, and how often.
    pub unknown_calls: Mutex<BTreeMap<u64, u64>>,
    /// Processes that ended and were not started by a process of the sandbox: init and those
    /// that were put in from outside.
    finished: Mutex<BTreeMap<Pid, ExitStatus>>,
    /// Told when `finished` grows.
    #[state(skip)]
    pub finished_queue: WaitQueue,
    contexts: Contexts,
}

/// The platform's context of each executor.
struct Contexts(Vec<OnceLock<Box<dyn Context>>>);

impl Contexts {
    fn new(executors: usize) -> Self {
        Self((0..executors).map(|_| OnceLock::new()).collect())
    }
}

impl state::Save for Contexts {
    fn save(&self, _: &mut state::Writer<'_>) -> state::Result<()> {
        Ok(())
    }
}

impl state::Load for Contexts {
    fn load(r: &mut state::Reader<'_>) -> state::Result<Self> {
        Ok(Self::new(r.given::<Sched>()?.executors()))
    }
}

/// A process to be started from outside.
#[derive(Debug)]
pub struct NewProcess {
    /// What it executes; opened by the caller on a fiber.
    pub exec: ExecArgs,
    /// Its mounts and root.
    pub fs: Arc<FsContext>,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Who it is.
    pub creds: Credentials,
    /// Its limits.
    pub limits: Limits,
}

impl Kernel {
    /// Makes a kernel without processes.
    #[must_use]
    pub fn new(args: KernelArgs) -> Arc<Self> {
        let executors = args.sched.executors();
        let kernel = Arc::new(Self {
            boot_ns: args.sched.now_ns(),
            platform: args.platform,
            memory: args.memory,
            charge: args.charge,
            sched: args.sched,
            syscalls: Arc::from(args.syscalls),
            uts: Mutex::new(args.uts),
            tree: Mutex::new(Tree::new()),
            futexes: FutexTable::default(),
            vdso: args.vdso,
            files: OnceLock::new(),
            net: OnceLock::new(),
            unknown_calls: Mutex::default(),
            finished: Mutex::default(),
            finished_queue: WaitQueue::new(),
            contexts: Contexts::new(executors),
        });
        kernel.tell_cpus();
        kernel
    }

    /// Lets programs read the number of their CPU where the platform keeps them on one.
    fn tell_cpus(&self) {
        let cpus = (0..self.sched.executors()).map(|executor| self.platform.cpu_of(executor));
        let cpus: Option<Vec<usize>> = cpus.collect();
        if let (Some(vdso), Some(cpus)) = (&self.vdso, cpus) {
            vdso.set_cpus(&cpus);
        }
    }

    /// The context of the calling executor, made at its first use.
    pub(crate) fn context(&self, executor: usize) -> Result<&dyn Context, PlatformError> {
        let slot = self.contexts.0.get(executor).ok_or(PlatformError::SpaceLost("no executor"))?;
        if let Some(context) = slot.get() {
            return Ok(&**context);
        }
        let context = self.platform.context(executor)?;
        Ok(&**slot.get_or_init(|| context))
    }

    /// Starts a process from outside the sandbox: the first one is init, later ones are not
    /// children of anybody. It stands in a new session. Called on a fiber.
    ///
    /// # Errors
    ///
    /// As execve(2); `EAGAIN` at the limits.
    pub fn spawn_process(
        self: &Arc<Self>,
        fs: &vfs::Ctx<'_>,
        new: NewProcess,
    ) -> Result<Arc<Task>, abi::Errno> {
        let name = new.exec.path.clone();
        let loaded = crate::loader::load(
            fs,
            crate::loader::LoadArgs {
                kernel: self,
                file: new.exec.file,
                path: new.exec.path,
                argv: new.exec.argv,
                envp: new.exec.envp,
                limits: new.limits,
                creds: Arc::new(new.creds),
            },
        )?;
        tracing::debug!(program = %String::from_utf8_lossy(&name), "loaded");
        let fpu = abi::FpuState::initial(self.platform.fpu_size_bytes());
        let regs = abi::Registers::for_exec(loaded.entry.get(), loaded.stack.get());
        let user = Box::new(platform::UserState::new(regs, fpu));
        let mut tree = self.tree.lock();
        let tid = tree.allocate_pid().ok_or(abi::Errno::EAGAIN)?;
        let process = Process::new(tid, Arc::new(SignalActions::default()), new.limits);
        process.timers.limit_cpu(self, &process);
        let task = Task::new(TaskParts {
            kernel: self.clone(),
            process: process.clone(),
            tid,
            mm: loaded.mm,
            files: new.files,
            fs: new.fs,
            creds: Arc::new(loaded.creds),
            user,
            name: loaded.name,
            blocked: abi::SigSet::EMPTY,
        });
        *task.exe.lock() = loaded.exe;
        *task.arguments.lock() = loaded.arguments;
        process.add_thread(&task);
        let node = Node {
            process,
            parent: None,
            children: std::collections::BTreeSet::new(),
            group: tid,
            session: Session::new(tid),
            zombie: None,
            exit_signal: 0,
            executed: true,
            subreaper: false,
            stop_report: None,
            continue_report: false,
        };
        tree.processes.insert(tid, node);
        tree.tasks.insert(tid, task.clone());
        Ok(task)
    }

    /// Lets a process of [`Kernel::spawn_process`] run.
    pub fn launch(&self, task: &Arc<Task>) {
        task.launch();
    }

    /// Before a save, when all is at rest: notes what the scheduler alone knows.
    pub fn prepare_save(&self) {
        self.tree.lock().tasks.values().for_each(|task| task.prepare_save());
    }

    /// Lets all tasks run that are not at their end: after a load.
    pub fn launch_all(&self) {
        self.tell_cpus();
        let tasks: Vec<Arc<Task>> = self.tree.lock().tasks.values().cloned().collect();
        tasks.iter().for_each(Task::launch);
    }

    /// A process without a parent has ended. The end of init ends all others.
    pub(crate) fn finished(&self, pid: Pid, status: ExitStatus) {
        let from_outside = {
            let tree = self.tree.lock();
            !tree.processes.contains_key(&pid)
        };
        if from_outside {
            let mut finished = self.finished.lock();
            finished.insert(pid, status);
        }
        if pid == Pid::INIT {
            let others: Vec<_> = {
                let tree = self.tree.lock();
                tree.processes.values().map(|node| node.process.clone()).collect()
            };
            for process in others {
                process
                    .kill_all(ExitStatus::Signaled { signal: abi::Signal::SIGKILL, core: false });
            }
        }
        self.finished_queue.notify(1);
    }

    /// How a process from outside has ended, once it has.
    #[must_use]
    pub fn exit_status(&self, pid: Pid) -> Option<ExitStatus> {
        self.finished.lock().get(&pid).copied()
    }

    /// True once init has ended and no task is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.lock().tasks.is_empty()
    }

    /// Finds a task by number.
    #[must_use]
    pub fn task(&self, tid: Pid) -> Option<Arc<Task>> {
        self.tree.lock().tasks.get(&tid).cloned()
    }

    /// The mounts of init, or of any task while there is one.
    #[must_use]
    pub fn init_mounts(&self) -> Option<Arc<MountNamespace>> {
        let tree = self.tree.lock();
        let task = tree.tasks.get(&Pid::INIT).or_else(|| tree.tasks.values().next())?;
        Some(task.fs().mounts())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("platform", &self.platform.name()).finish_non_exhaustive()
    }
}
