//! Files about a task.

use std::{fmt::Write as _, sync::Arc};

use abi::{AddrRange, Errno, UserAddr};
use kernel::{Pid, Task};
use vfs::{Ctx, Mount};

use super::{Procfs, inode::reader, status};

/// A file about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Kind {
    Auxv,
    Cgroup,
    Cmdline,
    Comm,
    Environ,
    GidMap,
    Io,
    Limits,
    LoginUid,
    Maps,
    Mem,
    MountInfo,
    Mounts,
    OomScore,
    OomScoreAdj,
    Personality,
    Setgroups,
    Smaps,
    Stat,
    Statm,
    Status,
    UidMap,
    Wchan,
}

/// The files of `/proc/PID`.
pub(super) const FILES: &[(&str, Kind)] = &[
    ("auxv", Kind::Auxv),
    ("cgroup", Kind::Cgroup),
    ("cmdline", Kind::Cmdline),
    ("comm", Kind::Comm),
    ("environ", Kind::Environ),
    ("gid_map", Kind::GidMap),
    ("io", Kind::Io),
    ("limits", Kind::Limits),
    ("loginuid", Kind::LoginUid),
    ("maps", Kind::Maps),
    ("mem", Kind::Mem),
    ("mountinfo", Kind::MountInfo),
    ("mounts", Kind::Mounts),
    ("oom_score", Kind::OomScore),
    ("oom_score_adj", Kind::OomScoreAdj),
    ("personality", Kind::Personality),
    ("setgroups", Kind::Setgroups),
    ("smaps", Kind::Smaps),
    ("stat", Kind::Stat),
    ("statm", Kind::Statm),
    ("status", Kind::Status),
    ("uid_map", Kind::UidMap),
    ("wchan", Kind::Wchan),
];

impl Kind {
    pub(super) const fn mode(self) -> u32 {
        match self {
            Self::Auxv | Self::Environ | Self::Io | Self::Personality => 0o400,
            Self::Comm | Self::OomScoreAdj => 0o644,
            Self::Mem => 0o600,
            _ => 0o444,
        }
    }

    /// True for files that show what is in a task's memory.
    pub(super) const fn needs_trace(self) -> bool {
        matches!(
            self,
            Self::Auxv
                | Self::Environ
                | Self::Io
                | Self::Maps
                | Self::Mem
                | Self::Personality
                | Self::Smaps
        )
    }
}

/// Its text.
pub(super) fn text(fs: &Arc<Procfs>, cx: &Ctx<'_>, pid: Pid, kind: Kind) -> Result<Vec<u8>, Errno> {
    if kind == Kind::Stat {
        return status::stat(fs, pid).map(String::into_bytes);
    }
    if kind == Kind::Status {
        return status::status(fs, pid).map(String::into_bytes);
    }
    let Some(task) = fs.task(pid) else {
        // A zombie has no memory left, but its name stays.
        fs.process(pid).ok_or(Errno::ESRCH)?;
        return Ok(Vec::new());
    };
    let arguments = *task.arguments.lock();
    let text = match kind {
        Kind::Auxv => return Ok(memory(&task, arguments.auxv)),
        Kind::Cmdline => return Ok(memory(&task, arguments.args)),
        Kind::Environ => return Ok(memory(&task, arguments.env)),
        Kind::Comm => {
            let mut name = task.name_bytes();
            name.push(b'\n');
            return Ok(name);
        }
        Kind::Mem => return Err(Errno::EIO),
        Kind::Cgroup => "0::/\n".to_owned(),
        Kind::UidMap | Kind::GidMap => "         0          0 4294967295\n".to_owned(),
        Kind::Setgroups => "allow\n".to_owned(),
        Kind::Io => "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n\
                     cancelled_write_bytes: 0\n"
            .to_owned(),
        Kind::LoginUid => "4294967295".to_owned(),
        Kind::Limits => limits(&task),
        Kind::Maps => maps(&task, false),
        Kind::Smaps => maps(&task, true),
        Kind::Mounts => mounts(&task),
        Kind::MountInfo => mount_info(&task, cx),
        Kind::OomScore | Kind::OomScoreAdj => "0\n".to_owned(),
        Kind::Personality => "00000000\n".to_owned(),
        Kind::Statm => status::statm(&task),
        Kind::Wchan => "0".to_owned(),
        Kind::Stat | Kind::Status => String::new(),
    };
    Ok(text.into_bytes())
}

/// Longest argument list or environment that is shown.
const MEMORY_MAX: u64 = 8 << 20;

/// What lies in a range of the task's memory, as far as it can be read.
fn memory(task: &Task, range: AddrRange) -> Vec<u8> {
    let Some(mm) = task.mm() else { return Vec::new() };
    let len = usize::try_from(range.len().min(MEMORY_MAX)).unwrap_or(0);
    let mut bytes = vec![0; len];
    let done = mm.read_partial(range.start, &mut bytes);
    bytes.truncate(done);
    bytes
}

fn limits(task: &Task) -> String {
    const ROWS: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let limits = *task.process.limits.lock();
    let shown = |value: u64| match value {
        u64::MAX => "unlimited".to_owned(),
        value => value.to_string(),
    };
    let mut text =
        format!("{:<26}{:<21}{:<21}{:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (number, (name, unit)) in (0_u64..).zip(ROWS) {
        if let Some(limit) = limits.by_number(number) {
            let (soft, hard) = (shown(limit.soft), shown(limit.hard));
            let _ = writeln!(text, "{name:<26}{soft:<21}{hard:<21}{unit:<10}");
        }
    }
    text
}

fn maps(task: &Task, detailed: bool) -> String {
    let Some(mm) = task.mm() else { return String::new() };
    let mut text = String::new();
    for map in mm.maps() {
        let flag = |on: bool, letter: char| if on { letter } else { '-' };
        let line = format!(
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {}",
            map.range.start.get(),
            map.range.end.get(),
            flag(map.protection.read, 'r'),
            flag(map.protection.write, 'w'),
            flag(map.protection.execute, 'x'),
            if map.shared { 's' } else { 'p' },
            map.offset,
            abi::fs::dev_major(map.identity.dev),
            abi::fs::dev_minor(map.identity.dev),
            map.identity.ino,
        );
        if map.name.is_empty() {
            let _ = writeln!(text, "{line} ");
        } else {
            let _ = writeln!(text, "{line:<72} {}", map.name);
        }
        if detailed {
            let (size, resident) = (map.range.len() / 1024, map.resident / 1024);
            let anonymous = map.anonymous / 1024;
            let _ = writeln!(
                text,
                "Size:           {size:>8} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n\
                 Rss:            {resident:>8} kB\nPss:            {resident:>8} kB\n\
                 Shared_Clean:          0 kB\nShared_Dirty:          0 kB\n\
                 Private_Clean:  {:>8} kB\nPrivate_Dirty:  {anonymous:>8} kB\n\
                 Referenced:     {resident:>8} kB\nAnonymous:      {anonymous:>8} kB\n\
                 Swap:                  0 kB\nLocked:         {:>8} kB\nVmFlags: rd",
                resident.saturating_sub(anonymous),
                if map.locked { resident } else { 0 },
            );
        }
    }
    text
}

/// A path in a table of mounts: characters that would break the table are octal (fstab(5)).
fn escape(path: &[u8]) -> String {
    let mut text = String::new();
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                let _ = write!(text, "\\{byte:03o}");
            }
            byte => text.push(char::from(*byte)),
        }
    }
    text
}

/// Mounts that the task can see, with the paths of their mount points as it sees them.
fn visible(task: &Task) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let fs = task.fs();
    let root = fs.root();
    let mut found = Vec::new();
    for mount in fs.mounts().list() {
        let path = match mount.at() {
            None => Some(b"/".to_vec()),
            Some(at) => path_from(&root, at),
        };
        found.extend(path.map(|path| (mount, path)));
    }
    found
}

/// The path of a place below `root`.
fn path_from(root: &vfs::Path, mut here: vfs::Path) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    while !here.same(root) {
        if Arc::ptr_eq(&here.dentry, &here.mount.root) {
            match here.mount.at() {
                Some(at) => here = at,
                None => break,
            }
            continue;
        }
        parts.push(here.dentry.name()?);
        here.dentry = here.dentry.parent()?;
    }
    let mut path = Vec::new();
    for name in parts.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
    }
    if path.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

fn flags(mount: &Mount) -> String {
    let flags = mount.flags();
    let mut text = if flags.read_only { "ro" } else { "rw" }.to_owned();
    for (on, name) in [
        (flags.no_suid, ",nosuid"),
        (flags.no_dev, ",nodev"),
        (flags.no_exec, ",noexec"),
        (flags.no_atime, ",noatime"),
    ] {
        if on {
            text.push_str(name);
        }
    }
    text
}

fn mounts(task: &Task) -> String {
    let mut text = String::new();
    for (mount, path) in visible(task) {
        let own = mount.filesystem.options();
        let comma = if own.is_empty() { "" } else { "," };
        let _ = writeln!(
            text,
            "{} {} {} {}{comma}{own} 0 0",
            escape(mount.source.as_bytes()),
            escape(&path),
            mount.filesystem.kind(),
            flags(&mount),
        );
    }
    text
}

fn mount_info(task: &Task, cx: &Ctx<'_>) -> String {
    let mut text = String::new();
    for (mount, path) in visible(task) {
        let parent = mount.at().map_or(mount.id, |at| at.mount.id);
        let dev = mount.root.inode().metadata(cx).map_or(0, |meta| meta.dev);
        let own = mount.filesystem.options();
        let comma = if own.is_empty() { "" } else { "," };
        let _ = writeln!(
            text,
            "{} {parent} {}:{} / {} {} - {} {} rw{comma}{own}",
            mount.id,
            abi::fs::dev_major(dev),
            abi::fs::dev_minor(dev),
            escape(&path),
            flags(&mount),
            mount.filesystem.kind(),
            escape(mount.source.as_bytes()),
        );
    }
    text
}

/// Changes what can be changed.
pub(super) fn set(
    fs: &Arc<Procfs>,
    cx: &Ctx<'_>,
    pid: Pid,
    kind: Kind,
    value: &[u8],
) -> Result<(), Errno> {
    let task = fs.task(pid).ok_or(Errno::ESRCH)?;
    match kind {
        Kind::Comm => {
            let own = reader(cx).is_some_and(|reader| reader.process.pid == task.process.pid);
            if !own {
                return Err(Errno::EINVAL);
            }
            let mut name = [0; 16];
            let line = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
            name.iter_mut().take(15).zip(line).for_each(|(to, from)| *to = *from);
            *task.name.lock() = name;
            Ok(())
        }
        Kind::OomScoreAdj => {
            let text = std::str::from_utf8(value).map_err(|_| Errno::EINVAL)?;
            let number: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
            match number {
                0 => Ok(()),
                -1000..=1000 if number > 0 || cx.creds.has(auth::Capability::SysResource) => Ok(()),
                -1000..=1000 => Err(Errno::EACCES),
                _ => Err(Errno::EINVAL),
            }
        }
        _ => Err(Errno::EACCES),
    }
}

/// Where a program's code, heap and stack lie, for `/proc/PID/stat`.
pub(super) fn stack_start(task: &Task) -> UserAddr {
    task.arguments.lock().args.start
}
