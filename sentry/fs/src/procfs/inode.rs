//! The inodes of procfs.

use std::{any::Any, sync::Arc};

use abi::{
    Errno, Timespec,
    fs::mode::{S_IFDIR, S_IFMT},
};
use kernel::{Pid, Task};
use vfs::{Ctx, File, Inode, Metadata, Name, Path, SetAttr, StatFs};

use super::{
    Procfs, global, links,
    node::{NAMESPACES, NamespaceName, Node, OwnLink, Place},
    open::{Listing, TextFile},
    process, sys,
};

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;

/// A node of a mounted procfs.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct ProcInode {
    pub(super) fs: Arc<Procfs>,
    pub(super) node: Node,
}

/// The calling task.
pub(super) fn reader<'a>(cx: &Ctx<'a>) -> Option<&'a Task> {
    cx.task.and_then(|task| (**task).downcast_ref::<Task>())
}

impl ProcInode {
    pub(super) fn new(fs: &Arc<Procfs>, node: Node) -> Arc<Self> {
        Arc::new(Self { fs: fs.clone(), node })
    }

    /// What the directory has besides processes, tasks and descriptors.
    fn fixed(&self) -> Vec<(&'static str, Node)> {
        match self.node {
            Node::Root => {
                let links = [
                    ("self", OwnLink::Own),
                    ("thread-self", OwnLink::OwnThread),
                    ("mounts", OwnLink::Mounts),
                    ("net", OwnLink::Net),
                ];
                let links = links.into_iter().map(|(name, link)| (name, Node::OwnLink(link)));
                let files = global::FILES.iter().map(|(name, kind)| (*name, Node::Global(*kind)));
                links.chain(files).chain([("sys", Node::SysDir(0))]).collect()
            }
            Node::Task { pid, thread } => {
                let files = process::FILES.iter();
                let files = files.map(|(name, kind)| (*name, Node::OfTask(pid, *kind)));
                let more = [
                    ("exe", Node::Place(pid, Place::Exe)),
                    ("cwd", Node::Place(pid, Place::Cwd)),
                    ("root", Node::Place(pid, Place::Root)),
                    ("fd", Node::Fds(pid)),
                    ("fdinfo", Node::FdInfos(pid)),
                    ("net", Node::Net(pid)),
                    ("ns", Node::Namespaces(pid)),
                ];
                let threads = (!thread).then_some(("task", Node::Threads(pid)));
                files.chain(more).chain(threads).collect()
            }
            Node::Net(_) => {
                global::NET_FILES.iter().map(|(name, kind)| (*name, Node::Global(*kind))).collect()
            }
            Node::Namespaces(pid) => NAMESPACES
                .iter()
                .map(|name| (*name, Node::Namespace(pid, NamespaceName(name))))
                .collect(),
            Node::SysDir(line) => sys::entries(line),
            _ => Vec::new(),
        }
    }

    /// What comes and goes: name and node, by number.
    fn numbered(&self) -> Result<Vec<(u32, Node)>, Errno> {
        let kernel = &self.fs.kernel;
        Ok(match self.node {
            Node::Root => {
                let tree = kernel.tree.lock();
                let pids = tree.processes.keys();
                pids.map(|pid| (pid.0, Node::Task { pid: *pid, thread: false })).collect()
            }
            Node::Threads(pid) => {
                let process = self.fs.process(pid).ok_or(Errno::ENOENT)?;
                let mut tids: Vec<Pid> = process.threads().iter().map(|task| task.tid()).collect();
                if tids.is_empty() {
                    tids.push(pid);
                }
                tids.into_iter().map(|tid| (tid.0, Node::Task { pid: tid, thread: true })).collect()
            }
            Node::Fds(pid) | Node::FdInfos(pid) => {
                let files = self.fs.task(pid).and_then(|task| task.files());
                let numbers = files.ok_or(Errno::ENOENT)?.numbers();
                let node = |fd| match self.node {
                    Node::Fds(_) => Node::Fd(pid, fd),
                    _ => Node::FdInfo(pid, fd),
                };
                numbers.into_iter().map(|fd| (fd.unsigned_abs(), node(fd))).collect()
            }
            _ => Vec::new(),
        })
    }

    /// One numbered entry, without listing all.
    fn numbered_entry(&self, number: u32) -> Option<Node> {
        let pid = Pid(number);
        match self.node {
            Node::Root => {
                // A thread's number leads to it, although it is not listed (proc(5)).
                let known = self.fs.process(pid).is_some() || self.fs.kernel.task(pid).is_some();
                known.then_some(Node::Task { pid, thread: false })
            }
            Node::Threads(process) => {
                let task = self.fs.kernel.task(pid);
                let member = task.is_some_and(|task| task.process.pid == process);
                (member || pid == process).then_some(Node::Task { pid, thread: true })
            }
            Node::Fds(owner) | Node::FdInfos(owner) => {
                let fd = i32::try_from(number).ok()?;
                self.fs.task(owner)?.files()?.get(fd).ok()?;
                let link = matches!(self.node, Node::Fds(_));
                Some(if link { Node::Fd(owner, fd) } else { Node::FdInfo(owner, fd) })
            }
            _ => None,
        }
    }

    /// All entries, those with a number last.
    pub(super) fn entries(&self) -> Result<Vec<(String, Node)>, Errno> {
        let fixed = self.fixed().into_iter().map(|(name, node)| (name.to_owned(), node));
        let numbered = self.numbered()?.into_iter();
        Ok(fixed.chain(numbered.map(|(number, node)| (number.to_string(), node))).collect())
    }

    /// How many links it has: a directory one for itself, one for its name, and one for each
    /// directory in it, as far as that can be counted (`/proc/PID/task`).
    fn links(&self, is_dir: bool) -> u32 {
        match self.node {
            Node::Threads(pid) => {
                let threads = self.fs.process(pid).map_or(0, |process| process.thread_count());
                u32::try_from(threads).unwrap_or(0) + 2
            }
            _ => 1 + u32::from(is_dir),
        }
    }

    /// Who may look into what another task owns: those who could trace it (ptrace(2), "access
    /// mode checking").
    pub(super) fn check_trace(&self, cx: &Ctx<'_>, pid: Pid) -> Result<(), Errno> {
        let target = self.fs.task(pid).ok_or(Errno::ENOENT)?;
        let (mine, theirs) = (cx.creds, target.creds());
        let same = [theirs.ruid, theirs.euid, theirs.suid].iter().all(|uid| *uid == mine.fsuid);
        let covered = mine.permitted.covers(theirs.permitted);
        if (same && covered) || mine.has(auth::Capability::SysPtrace) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}

impl Inode for ProcInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let owner = match self.node.pid() {
            None => (0, 0),
            Some(pid) => match self.fs.task(pid) {
                Some(task) => (task.creds().euid, task.creds().egid),
                None if self.fs.process(pid).is_some() => (0, 0),
                None => return Err(Errno::ENOENT),
            },
        };
        let mode = self.node.mode();
        let start = match self.node.pid().and_then(|pid| self.fs.task(pid)) {
            Some(task) => task.start_ns,
            None => self.fs.kernel.boot_ns,
        };
        let age = host::clock::monotonic_ns().saturating_sub(start);
        let time = Timespec::from_ns(host::clock::realtime_ns().saturating_sub(age));
        let is_dir = mode & S_IFMT == S_IFDIR;
        Ok(Metadata {
            dev: self.fs.dev,
            ino: self.node.ino(),
            mode,
            nlink: self.links(is_dir),
            uid: owner.0,
            gid: owner.1,
            block_size: 1024,
            atime: time,
            mtime: time,
            ctime: time,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        // Opening with O_TRUNC is allowed, and does nothing.
        if change.size.is_some() { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn open(self: Arc<Self>, cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        let mode = self.node.mode() & S_IFMT;
        if mode == S_IFDIR {
            return Ok(Arc::new(Listing::new(self)));
        }
        if let Node::OfTask(pid, kind) = self.node
            && kind.needs_trace()
        {
            self.check_trace(cx, pid)?;
        }
        Ok(Arc::new(TextFile::new(self)))
    }

    fn lookup(&self, _cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        if self.node.mode() & S_IFMT != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        let text = std::str::from_utf8(name.as_bytes()).map_err(|_| Errno::ENOENT)?;
        let fixed = self.fixed().into_iter().find(|(other, _)| *other == text);
        let node = match fixed {
            Some((_, node)) => node,
            None => {
                let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
                if number.to_string() != text {
                    return Err(Errno::ENOENT);
                }
                self.numbered_entry(number).ok_or(Errno::ENOENT)?
            }
        };
        Ok(Self::new(&self.fs, node))
    }

    fn read_link(&self, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        links::text(self, cx)
    }

    fn jump(&self, cx: &Ctx<'_>) -> Option<Result<Path, Errno>> {
        links::jump(self, cx)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn cacheable(&self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
