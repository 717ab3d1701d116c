//! `/proc/PID/stat`, `statm` and `status`.

use std::{fmt::Write as _, sync::Arc};

use abi::{Errno, SigAction, SigSet, Signal};
use kernel::{Pid, Process, Resource, Task};

use super::{Procfs, global::TICK_NS, process::stack_start};

/// How a process stands to others.
struct Relations {
    process: Arc<Process>,
    task: Option<Arc<Task>>,
    parent: Pid,
    group: Pid,
    session: Pid,
    zombie: bool,
    tty: (u64, i64),
}

fn relations(fs: &Procfs, pid: Pid) -> Result<Relations, Errno> {
    let task = fs.task(pid);
    let tree = fs.kernel.tree.lock();
    let owner = task.as_ref().map_or(pid, |task| task.process.pid);
    let node = tree.process(owner).ok_or(Errno::ESRCH)?;
    let tty = node.session.tty.lock().clone();
    let tty = tty.map_or((0, -1), |tty| {
        (tty.device(), tty.foreground().map_or(-1, |group| i64::from(group.0)))
    });
    Ok(Relations {
        process: node.process.clone(),
        task,
        parent: node.parent.unwrap_or(Pid::NONE),
        group: node.group,
        session: node.session.sid,
        zombie: node.zombie.is_some(),
        tty,
    })
}

impl Relations {
    fn name(&self) -> String {
        let name = self.task.as_ref().map(|task| task.name_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&name).into_owned()
    }

    fn state(&self) -> (char, &'static str) {
        match &self.task {
            None => ('Z', "zombie"),
            Some(_) if self.zombie => ('Z', "zombie"),
            Some(task) if task.process.is_stopped() => ('T', "stopped"),
            Some(task) if task.is_running() => ('R', "running"),
            Some(_) => ('S', "sleeping"),
        }
    }
}

/// `/proc/PID/stat`.
pub(super) fn stat(fs: &Procfs, pid: Pid) -> Result<String, Errno> {
    use std::sync::atomic::Ordering::Relaxed;
    let is = relations(fs, pid)?;
    let (user, system) = is.process.cpu_times();
    let times = &is.process.times;
    let children = (times.children_user_ns.load(Relaxed), times.children_system_ns.load(Relaxed));
    let task = is.task.as_deref();
    let usage = task.and_then(Task::mm).map(|mm| mm.usage());
    let (total, resident) =
        usage.map_or((0, 0), |usage| (usage.total, usage.resident() / abi::PAGE_SIZE));
    let limit = is.process.limits.lock().soft(Resource::Rss);
    let start = task.map_or(0, |task| task.start_ns.saturating_sub(fs.kernel.boot_ns) / TICK_NS);
    let signals = signal_sets(&is);
    let executor = task.and_then(Task::entity).map_or(0, |entity| entity.executor());
    Ok(format!(
        "{pid} ({}) {} {} {} {} {} {} 4194304 0 0 0 0 {} {} {} {} 20 0 {} 0 {start} {total} {resident} \
         {limit} 0 0 {} 0 0 {} {} {} {} 0 0 0 17 {executor} 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        is.name(),
        is.state().0,
        is.parent,
        is.group,
        is.session,
        is.tty.0,
        is.tty.1,
        user / TICK_NS,
        system / TICK_NS,
        children.0 / TICK_NS,
        children.1 / TICK_NS,
        is.process.thread_count().max(1),
        task.map_or(0, |task| stack_start(task).get()),
        signals.pending.0,
        signals.blocked.0,
        signals.ignored.0,
        signals.caught.0,
    ))
}

#[derive(Default)]
struct SignalSets {
    pending: SigSet,
    shared: SigSet,
    blocked: SigSet,
    ignored: SigSet,
    caught: SigSet,
}

fn signal_sets(is: &Relations) -> SignalSets {
    let mut sets = SignalSets { shared: is.process.pending.lock().set(), ..SignalSets::default() };
    if let Some(task) = &is.task {
        sets.pending = task.pending.lock().set();
        sets.blocked = task.blocked();
    }
    let actions = is.process.actions();
    for signal in (1..=64).filter_map(Signal::new) {
        match actions.get(signal).handler {
            SigAction::DEFAULT => {}
            SigAction::IGNORE => sets.ignored = sets.ignored.union(SigSet::of(signal)),
            _ => sets.caught = sets.caught.union(SigSet::of(signal)),
        }
    }
    sets
}

/// `/proc/PID/statm`.
pub(super) fn statm(task: &Task) -> String {
    let Some(usage) = task.mm().map(|mm| mm.usage()) else { return "0 0 0 0 0 0 0\n".to_owned() };
    let pages = |bytes: u64| bytes / abi::PAGE_SIZE;
    format!(
        "{} {} {} {} 0 {} 0\n",
        pages(usage.total),
        pages(usage.resident()),
        pages(usage.resident_file + usage.resident_shmem),
        pages(usage.text),
        pages(usage.data + usage.stack),
    )
}

/// `/proc/PID/status`.
pub(super) fn status(fs: &Procfs, pid: Pid) -> Result<String, Errno> {
    let is = relations(fs, pid)?;
    let mut text = String::new();
    let (letter, word) = is.state();
    let tgid = is.process.pid;
    let _ = writeln!(text, "Name:\t{}", is.name());
    if let Some(task) = &is.task {
        let _ = writeln!(text, "Umask:\t{:04o}", task.fs().umask());
    }
    let _ = write!(
        text,
        "State:\t{letter} ({word})\nTgid:\t{tgid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{}\nTracerPid:\t0\n",
        is.parent
    );
    if let Some(task) = &is.task {
        credentials(&mut text, task);
        memory(&mut text, task);
    }
    let sets = signal_sets(&is);
    let queued = is.process.pending.lock().len();
    let limit = is.process.limits.lock().soft(Resource::Sigpending);
    let _ = write!(
        text,
        "Threads:\t{}\nSigQ:\t{queued}/{limit}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\n\
         SigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        is.process.thread_count().max(1),
        sets.pending.0,
        sets.shared.0,
        sets.blocked.0,
        sets.ignored.0,
        sets.caught.0,
    );
    if let Some(task) = &is.task {
        capabilities(&mut text, task);
    }
    let cpus = fs.kernel.sched.executors();
    let mask = if cpus >= 64 { u64::MAX } else { (1 << cpus) - 1 };
    let _ = write!(
        text,
        "Cpus_allowed:\t{mask:x}\nCpus_allowed_list:\t0-{}\nMems_allowed:\t1\nMems_allowed_list:\t0\n\
         voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
        cpus.saturating_sub(1),
    );
    Ok(text)
}

fn credentials(text: &mut String, task: &Task) {
    let creds = task.creds();
    let size = task.files().map_or(0, |files| files.numbers().len().next_power_of_two().max(64));
    let groups = creds.groups.iter().fold(String::new(), |all, gid| all + &gid.to_string() + " ");
    let _ = write!(
        text,
        "Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{size}\nGroups:\t{groups}\n",
        creds.ruid,
        creds.euid,
        creds.suid,
        creds.fsuid,
        creds.rgid,
        creds.egid,
        creds.sgid,
        creds.fsgid,
    );
    let (tid, pid) = (task.tid(), task.process.pid);
    let _ = write!(text, "NStgid:\t{pid}\nNSpid:\t{tid}\n");
}

fn memory(text: &mut String, task: &Task) {
    let Some(usage) = task.mm().map(|mm| mm.usage()) else { return };
    for (name, bytes) in [
        ("VmPeak", usage.peak_total),
        ("VmSize", usage.total),
        ("VmLck", usage.locked),
        ("VmPin", 0),
        ("VmHWM", usage.peak_resident),
        ("VmRSS", usage.resident()),
        ("RssAnon", usage.resident_anonymous),
        ("RssFile", usage.resident_file),
        ("RssShmem", usage.resident_shmem),
        ("VmData", usage.data),
        ("VmStk", usage.stack),
        ("VmExe", usage.text),
        ("VmLib", 0),
        ("VmPTE", 0),
        ("VmSwap", 0),
    ] {
        let _ = writeln!(text, "{name}:\t{:>8} kB", bytes / 1024);
    }
}

fn capabilities(text: &mut String, task: &Task) {
    let creds = task.creds();
    let _ = write!(
        text,
        "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n\
         NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0\n",
        creds.inheritable.bits(),
        creds.permitted.bits(),
        creds.effective.bits(),
        creds.bounding.bits(),
        creds.ambient.bits(),
        u8::from(creds.no_new_privs),
    );
}
