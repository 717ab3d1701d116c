//! clone(2), fork(2), vfork(2).

use std::sync::{Arc, atomic::Ordering};

use abi::{Errno, UserAddr};
use platform::UserState;
use sched::{Wait, Wake};

use super::{Cx, Task, TaskParts, Vfork};
use crate::{Node, Pid, Process, Resource, signal::AltStack, tree::TASKS_MAX};

/// `CLONE_*` flags (clone(2)).
#[expect(missing_docs, reason = "each is the flag of its name, clone(2)")]
pub mod flags {
    pub const CLONE_VM: u64 = 0x100;
    pub const CLONE_FS: u64 = 0x200;
    pub const CLONE_FILES: u64 = 0x400;
    pub const CLONE_SIGHAND: u64 = 0x800;
    pub const CLONE_PIDFD: u64 = 0x1000;
    pub const CLONE_PTRACE: u64 = 0x2000;
    pub const CLONE_VFORK: u64 = 0x4000;
    pub const CLONE_PARENT: u64 = 0x8000;
    pub const CLONE_THREAD: u64 = 0x1_0000;
    pub const CLONE_NEWNS: u64 = 0x2_0000;
    pub const CLONE_SYSVSEM: u64 = 0x4_0000;
    pub const CLONE_SETTLS: u64 = 0x8_0000;
    pub const CLONE_PARENT_SETTID: u64 = 0x10_0000;
    pub const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
    pub const CLONE_DETACHED: u64 = 0x40_0000;
    pub const CLONE_UNTRACED: u64 = 0x80_0000;
    pub const CLONE_CHILD_SETTID: u64 = 0x100_0000;
    pub const CLONE_NEWCGROUP: u64 = 0x200_0000;
    pub const CLONE_NEWUTS: u64 = 0x400_0000;
    pub const CLONE_NEWIPC: u64 = 0x800_0000;
    pub const CLONE_NEWUSER: u64 = 0x1000_0000;
    pub const CLONE_NEWPID: u64 = 0x2000_0000;
    pub const CLONE_NEWNET: u64 = 0x4000_0000;
    pub const CLONE_IO: u64 = 0x8000_0000;
    pub const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    pub const CLONE_NEWTIME: u64 = 0x80;
}
use flags::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_CLEAR_SIGHAND, CLONE_DETACHED, CLONE_FILES,
    CLONE_FS, CLONE_IO, CLONE_PARENT, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND,
    CLONE_SYSVSEM, CLONE_THREAD, CLONE_UNTRACED, CLONE_VFORK, CLONE_VM,
};

/// Flags that do what they say here.
const SERVED: u64 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_VFORK
    | CLONE_PARENT
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_DETACHED
    | CLONE_UNTRACED
    | CLONE_CHILD_SETTID
    | CLONE_IO
    | CLONE_CLEAR_SIGHAND;

/// What clone(2) and clone3(2) ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneArgs {
    /// `CLONE_*` flags without the exit signal.
    pub flags: u64,
    /// Signal to the parent at the end (0: none).
    pub exit_signal: u8,
    /// Stack pointer of the child; null: the parent's.
    pub stack: UserAddr,
    /// `CLONE_PARENT_SETTID`: where.
    pub parent_tid: UserAddr,
    /// `CLONE_CHILD_SETTID`, `CLONE_CHILD_CLEARTID`: where.
    pub child_tid: UserAddr,
    /// `CLONE_SETTLS`: FS base.
    pub tls: u64,
}

impl CloneArgs {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    fn check(&self) -> Result<(), Errno> {
        let sighand_without_vm = self.has(CLONE_SIGHAND) && !self.has(CLONE_VM);
        let thread_without_sighand = self.has(CLONE_THREAD) && !self.has(CLONE_SIGHAND);
        let clear_and_share = self.has(CLONE_CLEAR_SIGHAND) && self.has(CLONE_SIGHAND);
        let unserved = self.flags & !SERVED != 0;
        if sighand_without_vm || thread_without_sighand || clear_and_share || unserved {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl Cx<'_> {
    /// Makes a task as `args` say; returns its number, after the end of vfork's wait.
    ///
    /// # Errors
    ///
    /// `EINVAL` for flags that contradict one another or are not served, `EAGAIN` at the limits,
    /// `ENOMEM`.
    pub fn clone_task(&mut self, args: &CloneArgs) -> Result<Pid, Errno> {
        args.check()?;
        self.check_limits()?;
        let parent = self.task;
        let mm = if args.has(CLONE_VM) { self.mm.clone() } else { self.mm.fork()? };
        let user = self.child_registers(args)?;
        let tid = parent.kernel.tree.lock().allocate_pid().ok_or(Errno::EAGAIN)?;
        let process = if args.has(CLONE_THREAD) {
            parent.process.clone()
        } else {
            self.child_process(args, tid)
        };
        let files = if args.has(CLONE_FILES) { self.files.clone() } else { self.files.duplicate() };
        let fs = if args.has(CLONE_FS) { parent.fs() } else { parent.fs().duplicate() };
        let child = Task::new(TaskParts {
            kernel: parent.kernel.clone(),
            process,
            tid,
            mm,
            files,
            fs,
            creds: parent.creds(),
            user,
            name: *parent.name.lock(),
            blocked: parent.blocked(),
        });
        self.inherit(&child, args);
        let vfork = args.has(CLONE_VFORK).then(Arc::<Vfork>::default);
        *child.vfork.lock() = vfork.clone();
        if let Err(error) = self.enlist(&child, args) {
            self.discard(&child);
            return Err(error);
        }
        if args.has(CLONE_PARENT_SETTID) {
            let _ = self.mm.write(args.parent_tid, &tid.0.to_le_bytes());
        }
        if args.has(CLONE_CHILD_SETTID)
            && let Some(mm) = child.mm()
        {
            let _ = mm.write(args.child_tid, &tid.0.to_le_bytes());
        }
        child.launch();
        if vfork.is_some() {
            *parent.vfork_wait.lock() = vfork;
            self.finish_vfork_wait();
        }
        Ok(tid)
    }

    fn check_limits(&self) -> Result<(), Errno> {
        let tasks = self.kernel().tree.lock().tasks.len();
        let limit = self.process().limits.lock().soft(Resource::Nproc);
        let creds = self.creds();
        let free = creds.ruid == 0
            || creds.has(auth::Capability::SysResource)
            || creds.has(auth::Capability::SysAdmin);
        let over = !free && tasks as u64 >= limit;
        if over || tasks >= TASKS_MAX { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    fn child_registers(&mut self, args: &CloneArgs) -> Result<Box<UserState>, Errno> {
        self.save_fpu()?;
        let mut regs = self.user.regs;
        regs.rax = 0;
        regs.orig_rax = u64::MAX;
        if !args.stack.is_null() {
            regs.rsp = args.stack.get();
        }
        if args.has(CLONE_SETTLS) {
            if args.tls >= abi::USER_MAX.get() {
                return Err(Errno::EPERM);
            }
            regs.fs_base = args.tls;
        }
        Ok(Box::new(UserState::new(regs, self.user.fpu.clone())))
    }

    fn child_process(&self, args: &CloneArgs, pid: Pid) -> Arc<Process> {
        let actions = self.process().actions();
        let actions = if args.has(CLONE_SIGHAND) {
            actions
        } else if args.has(CLONE_CLEAR_SIGHAND) {
            Arc::new(actions.for_exec())
        } else {
            Arc::new(actions.duplicate())
        };
        let limits = *self.process().limits.lock();
        let process = Process::new(pid, actions, limits);
        process.timers.limit_cpu(self.kernel(), &process);
        process
    }

    fn inherit(&self, child: &Arc<Task>, args: &CloneArgs) {
        let parent = self.task;
        *child.exe.lock() = parent.exe.lock().clone();
        *child.arguments.lock() = *parent.arguments.lock();
        *child.affinity.lock() = parent.affinity.lock().clone();
        let shares_stack = args.has(CLONE_VM) && !args.has(CLONE_VFORK);
        *child.alt_stack.lock() =
            if shares_stack { AltStack::default() } else { *parent.alt_stack.lock() };
        if args.has(CLONE_CHILD_CLEARTID) {
            child.clear_child_tid.store(args.child_tid.get(), Ordering::Relaxed);
        }
    }

    /// Puts the child into the tree, so that it can be found, signalled and waited for.
    fn enlist(&self, child: &Arc<Task>, args: &CloneArgs) -> Result<(), Errno> {
        let mut tree = self.kernel().tree.lock();
        let own = self.process().pid;
        if !child.process.add_thread(child) || self.process().exiting().is_some() {
            return Err(Errno::EAGAIN);
        }
        if !args.has(CLONE_THREAD) {
            let node = tree.process(own).ok_or(Errno::EAGAIN)?;
            let parent = if args.has(CLONE_PARENT) { node.parent } else { Some(own) };
            let exit_signal =
                if args.has(CLONE_PARENT) { node.exit_signal } else { args.exit_signal };
            let new = Node {
                process: child.process.clone(),
                parent,
                children: std::collections::BTreeSet::new(),
                group: node.group,
                session: node.session.clone(),
                zombie: None,
                exit_signal,
                executed: false,
                subreaper: false,
                stop_report: None,
                continue_report: false,
            };
            tree.processes.insert(child.tid(), new);
            if let Some(parent) = parent.and_then(|pid| tree.processes.get_mut(&pid)) {
                parent.children.insert(child.tid());
            }
        }
        tree.tasks.insert(child.tid(), child.clone());
        Ok(())
    }

    /// A child that never ran: gives back what it holds.
    fn discard(&self, child: &Arc<Task>) {
        child.process.remove_thread(child.tid());
        child.mm.lock().take();
        if let Some(files) = child.files.lock().take() {
            self.release_files(files);
        }
        child.vfork.lock().take();
    }

    /// Waits for the child of vfork(2) to execute a program or to end. Goes on after a stop of the
    /// sandbox; a deadly signal ends it, others wait.
    pub(crate) fn finish_vfork_wait(&mut self) {
        let Some(vfork) = self.task.vfork_wait.lock().clone() else { return };
        let listener = sched::Listener::task(self.fiber.entity(), 1);
        vfork.queue.add(&listener);
        while !vfork.done.load(Ordering::SeqCst) && !self.task.is_dying() {
            if self.fiber.block(Wait { deadline_ns: None, interruptible: false }) == Wake::Stopping
            {
                vfork.queue.remove(&listener);
                return;
            }
        }
        vfork.queue.remove(&listener);
        self.task.vfork_wait.lock().take();
    }
}
