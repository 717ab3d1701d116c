//! execve(2).

use std::sync::{Arc, atomic::Ordering};

use abi::{Errno, FpuState, Registers, fs::mode};
use auth::{CapabilitySet, Credentials, SecureBits};
use platform::UserState;
use sched::{Wait, Wake};
use vfs::{Metadata, OpenFile};

use super::Cx;
use crate::{
    Pid,
    loader::{LoadArgs, Loaded},
    signal::{AltStack, SignalActions},
};

/// What execve(2) asks for; copied from the caller's memory and checked for size.
#[derive(Debug)]
pub struct ExecArgs {
    /// The program, opened for execution.
    pub file: Arc<OpenFile>,
    /// Its path as given, for scripts and `AT_EXECFN`.
    pub path: Vec<u8>,
    /// Arguments, without NUL.
    pub argv: Vec<Vec<u8>>,
    /// Environment, without NUL.
    pub envp: Vec<Vec<u8>>,
}

impl Cx<'_> {
    /// Replaces the program. After the point of no return a failure kills the process.
    ///
    /// # Errors
    ///
    /// As execve(2).
    pub fn execute(&mut self, args: ExecArgs) -> Result<(), Errno> {
        let loaded = self.load(args)?;
        self.kill_siblings()?;
        self.become_leader();
        self.switch_program(loaded);
        Ok(())
    }

    fn load(&self, args: ExecArgs) -> Result<Loaded, Errno> {
        let env = self.env();
        let limits = *self.process().limits.lock();
        let load = LoadArgs {
            kernel: self.kernel(),
            file: args.file,
            path: args.path,
            argv: args.argv,
            envp: args.envp,
            limits,
            creds: self.creds(),
        };
        crate::loader::load(&env.ctx(), load)
    }

    /// Ends all other tasks of the process and waits until they are gone.
    fn kill_siblings(&mut self) -> Result<(), Errno> {
        let process = self.process();
        {
            let mut state = process.state.lock();
            if state.exiting.is_some() || state.exec_by.is_some() {
                return Err(Errno::EAGAIN);
            }
            state.exec_by = Some(self.task.tid());
        }
        for task in process.threads() {
            if !Arc::ptr_eq(&task, self.task) {
                task.kill();
            }
        }
        let listener = sched::Listener::task(self.fiber.entity(), 1);
        process.child_changed.add(&listener);
        let mut result = Ok(());
        while process.thread_count() > 1 && result.is_ok() {
            let wake = self.fiber.block(Wait { deadline_ns: None, interruptible: false });
            if self.task.is_dying() {
                result = Err(Errno::EINTR);
            } else if wake == Wake::Stopping {
                self.fiber.yield_now();
            }
        }
        process.child_changed.remove(&listener);
        process.state.lock().exec_by = None;
        result
    }

    /// The task that executes takes the number of the leader, which has ended.
    fn become_leader(&mut self) {
        let (old, new) = (self.task.tid(), self.process().pid);
        if old == new {
            return;
        }
        let mut tree = self.kernel().tree.lock();
        tree.tasks.remove(&old);
        self.task.tid.store(new.0, Ordering::Relaxed);
        tree.tasks.insert(new, self.task.clone());
        self.process().rename_thread(old, new);
    }

    fn switch_program(&mut self, loaded: Loaded) {
        let process = self.process();
        self.release_futexes();
        self.finish_vfork();
        self.mm = loaded.mm.clone();
        *self.task.mm.lock() = Some(loaded.mm);
        *self.task.exe.lock() = loaded.exe;
        *self.task.name.lock() = loaded.name;
        *self.task.arguments.lock() = loaded.arguments;
        *self.task.alt_stack.lock() = AltStack::default();
        self.task.robust_list.store(0, Ordering::Relaxed);
        self.task.clear_child_tid.store(0, Ordering::Relaxed);
        self.set_creds(loaded.creds);
        process.set_actions(Arc::<SignalActions>::new(process.actions().for_exec()));
        process.dumpable.store(1, Ordering::Relaxed);
        process.timers.exec(process);
        if Arc::strong_count(&self.files) > 2 {
            self.unshare_files();
        }
        let env = self.env();
        self.files.close_if(&env.ctx(), |_, slot| slot.close_on_exec);
        if let Some(node) = self.kernel().tree.lock().processes.get_mut(&process.pid) {
            node.executed = true;
        }
        let fpu = FpuState::initial(self.kernel().platform.fpu_size_bytes());
        let regs = Registers::for_exec(loaded.entry.get(), loaded.stack.get());
        *self.user = UserState::new(regs, fpu);
        self.keep_registers();
    }
}

/// The credentials of a program (execve(2), capabilities(7) "Transformation of capabilities").
/// `no_suid` is true where the mount or `no_new_privs` forbids set-id programs.
#[must_use]
pub fn credentials_for(old: &Credentials, file: &Metadata, no_suid: bool) -> Credentials {
    let mut new = old.clone();
    let mut set_id = false;
    if !no_suid && !old.no_new_privs {
        if file.mode & mode::S_ISUID != 0 {
            set_id |= file.uid != old.euid;
            new.euid = file.uid;
        }
        if file.mode & (mode::S_ISGID | 0o010) == mode::S_ISGID | 0o010 {
            set_id |= file.gid != old.egid;
            new.egid = file.gid;
        }
    }
    new.suid = new.euid;
    new.fsuid = new.euid;
    new.sgid = new.egid;
    new.fsgid = new.egid;
    if set_id {
        new.ambient = CapabilitySet::EMPTY;
    }
    let root_counts = !old.secure_bits.has(SecureBits::NOROOT);
    let by_root = root_counts && (new.euid == 0 || new.ruid == 0);
    let by_effective_root = root_counts && new.euid == 0;
    new.permitted = if by_root { new.inheritable.union(new.bounding) } else { new.ambient };
    new.effective = if by_effective_root { new.permitted } else { new.ambient };
    new.secure_bits.0 &= !SecureBits::KEEP_CAPS;
    new
}

impl Pid {
    /// Shown where a task is meant that does not exist in the reader's namespace.
    pub const NONE: Self = Self(0);
}
