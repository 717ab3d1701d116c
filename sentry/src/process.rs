//! Processes that are started from outside: init, and those of `exec`.

use std::sync::Arc;

use abi::Errno;
use auth::{CapabilitySet, Credentials, SecureBits};
use control::{Process, Report, WindowSize};
use fs::devpts::Master;
use kernel::{
    FdTable, FsContext, Kernel, Limit, Limits, NewProcess, Resource, Task, task::ExecArgs,
};
use sched::Fiber;
use vfs::{Ctx, LookupFlags, MountNamespace, Path};

use crate::home;
use crate::mounts::{report, with_ctx};
use crate::places::find_or_make;

/// Where programs are searched if the environment has no `PATH` (as execvp(3) does).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Loads `process` into the kernel; it does not run before [`Kernel::launch`].
pub(crate) fn load(
    fiber: &Fiber<'_>,
    kernel: &Arc<Kernel>,
    mounts: &Arc<MountNamespace>,
    files: Arc<FdTable>,
    process: &Process,
) -> Result<Arc<Task>, Report> {
    let creds = credentials(process);
    let umask = process.umask.unwrap_or(0o022);
    let fs = FsContext::new(mounts.root(), mounts.clone(), umask);
    let env = fs.env(fiber, Arc::new(creds.clone()), None);
    let cx = env.ctx();
    fs.set_cwd(working_directory(fiber, &fs, &cx, &process.cwd)?);
    let env = fs.env(fiber, Arc::new(creds.clone()), None);
    let cx = env.ctx();
    let (path, place) = find_program(&cx, process)?;
    let opened = cx.open_found(place, 0, true);
    let file = opened.map_err(|errno| program_error(&path, errno))?;
    let bytes = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect();
    let exec = ExecArgs {
        file,
        path: path.clone().into_bytes(),
        argv: bytes(&process.args),
        envp: bytes(&environment(fiber, &fs, process)),
    };
    let limits = limits(process);
    let new = NewProcess { exec, fs: fs.clone(), files, creds, limits };
    kernel.spawn_process(&cx, new).map_err(|errno| program_error(&path, errno))
}

/// The terminal becomes the controlling one of the process' session, with this size.
pub(crate) fn give_terminal(task: &Task, master: &Master, size: Option<WindowSize>) {
    let terminal = master.terminal();
    if terminal.control_session(task).is_err() {
        tracing::warn!("the terminal controls another session");
    }
    if let Some(size) = size.filter(|size| size.rows != 0 || size.columns != 0) {
        terminal.resize(&task.kernel, [size.rows, size.columns, 0, 0]);
    }
}

fn program_error(path: &str, errno: Errno) -> Report {
    let message = match errno {
        Errno::ENOENT => "no such file or directory".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        Errno::ENOEXEC => "exec format error".to_owned(),
        errno => errno.to_string(),
    };
    Report { message, ..report("exec", path, errno) }
}

fn credentials(process: &Process) -> Credentials {
    let caps = &process.capabilities;
    Credentials {
        groups: process.additional_gids.clone(),
        permitted: CapabilitySet::from_bits(caps.permitted),
        effective: CapabilitySet::from_bits(caps.effective),
        inheritable: CapabilitySet::from_bits(caps.inheritable),
        bounding: CapabilitySet::from_bits(caps.bounding),
        ambient: CapabilitySet::from_bits(caps.ambient),
        secure_bits: SecureBits(0),
        no_new_privs: process.no_new_privileges,
        ..Credentials::user(process.uid, process.gid)
    }
}

fn limits(process: &Process) -> Limits {
    let mut limits = Limits::default();
    for limit in &process.rlimits {
        let value = Limit { soft: limit.soft, hard: limit.hard };
        limits.set_by_number(u64::from(limit.resource), value);
    }
    let open = limits.get(Resource::Nofile);
    let most = 1 << 20;
    limits.set(Resource::Nofile, Limit { soft: open.soft.min(most), hard: open.hard.min(most) });
    limits
}

/// The environment, with a home as runc adds it.
fn environment(fiber: &Fiber<'_>, fs: &Arc<FsContext>, process: &Process) -> Vec<String> {
    let mut environment = process.env.clone();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        let home = with_ctx(fiber, fs, |root| home::of(root, process.uid));
        environment.push(format!("HOME={home}"));
    }
    environment
}

/// The working directory, made as runc does if it is missing.
fn working_directory(
    fiber: &Fiber<'_>,
    fs: &Arc<FsContext>,
    cx: &Ctx<'_>,
    cwd: &str,
) -> Result<Path, Report> {
    let flags = LookupFlags { directory: true, ..LookupFlags::default() };
    let mut found = cx.lookup(cx.root, cwd.as_bytes(), flags);
    if matches!(found, Err(Errno::ENOENT | Errno::EACCES)) {
        found = with_ctx(fiber, fs, |root| {
            find_or_make(root, cwd.as_bytes(), true)?;
            root.lookup(root.root, cwd.as_bytes(), flags)
        });
    }
    found.map_err(|errno| report("change to the working directory", cwd, errno))
}

/// Finds the program as execvp(3) does: by `PATH` if its name has no slash.
fn find_program(cx: &Ctx<'_>, process: &Process) -> Result<(String, Path), Report> {
    let name = process.args.first().map(String::as_str).unwrap_or_default();
    if name.contains('/') {
        let place = executable(cx, name).map_err(|errno| program_error(name, errno))?;
        return Ok((name.to_owned(), place));
    }
    let path = process.env.iter().find_map(|entry| entry.strip_prefix("PATH="));
    let mut denied = false;
    for dir in path.unwrap_or(DEFAULT_PATH).split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        let candidate = format!("{dir}/{name}");
        match executable(cx, &candidate) {
            Ok(place) => return Ok((candidate, place)),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(program_error(name, Errno::EACCES));
    }
    let message = "executable file not found in $PATH".to_owned();
    Err(Report { message, ..report("exec", name, Errno::ENOENT) })
}

fn executable(cx: &Ctx<'_>, path: &str) -> Result<Path, Errno> {
    let place = cx.lookup(cx.cwd, path.as_bytes(), LookupFlags::default())?;
    if !place.inode().metadata(cx)?.is_file() {
        return Err(Errno::EACCES);
    }
    cx.access(&place, 1)?;
    Ok(place)
}
