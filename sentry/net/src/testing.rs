//! A sandbox for tests: a fiber to run on, and a namespace.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use abi::Errno;
use auth::Credentials;
use mm::Charge;
use sched::{Body, Fiber, Kicker, Leave, Sched};
use vfs::{
    BytesDst, BytesSrc, Ctx, Dentry, File, Filesystem, Inode, Metadata, MountFlags, MountNamespace,
    Name, NewNode, OpenFile, SetAttr, StatFs,
};

use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Socket, UnixName, create, create_pair,
};

/// Longest time that a test may take.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct NoKick;

impl Kicker for NoKick {
    fn kick(&self, _executor: usize) {}
}

type Job = Box<dyn FnOnce(&Fiber<'_>) + Send>;

/// Runs a closure on a fiber, and reports its end or its panic.
struct Run {
    job: Mutex<Option<Job>>,
    done: Sender<Result<(), Box<dyn Any + Send>>>,
}

impl Body for Run {
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            let job = std::panic::AssertUnwindSafe(|| job(fiber));
            let _ = self.done.send(std::panic::catch_unwind(job));
        }
        Leave::Exit
    }
}

/// A file system of one directory that holds sockets only.
#[derive(Debug)]
struct Flat;

state::cannot_save!(Flat);

impl Filesystem for Flat {
    fn kind(&self) -> &'static str {
        "flat"
    }
}

#[derive(Debug)]
struct Node {
    meta: Metadata,
    entries: sched::Mutex<Vec<(Vec<u8>, Arc<Node>)>>,
}

impl Node {
    fn new(ino: u64, mode: u32) -> Arc<Self> {
        let meta = Metadata { ino, mode, nlink: 1, ..Metadata::default() };
        Arc::new(Self { meta, entries: sched::Mutex::default() })
    }
}

state::cannot_save!(Node);

impl Inode for Node {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(self.meta)
    }

    fn set_attr(&self, _cx: &Ctx<'_>, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }

    fn lookup(&self, _cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let entries = self.entries.lock();
        let found = entries.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, node)| -> Arc<dyn Inode> { node.clone() }).ok_or(Errno::ENOENT)
    }

    fn create(
        &self,
        _cx: &Ctx<'_>,
        name: &Name,
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let kind = match node {
            NewNode::Socket => abi::fs::mode::S_IFSOCK,
            _ => abi::fs::mode::S_IFREG,
        };
        let mut entries = self.entries.lock();
        let node = Node::new(entries.len() as u64 + 2, kind | mode);
        entries.push((name.as_bytes().to_vec(), node.clone()));
        Ok(node)
    }

    fn unlink(&self, _cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        self.entries.lock().iter_mut().for_each(|(known, _)| {
            if known == name.as_bytes() {
                known.clear();
            }
        });
        Ok(())
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs::default())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A sandbox.
#[derive(Clone)]
pub(crate) struct World {
    sched: Arc<Sched>,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) charge: Arc<Charge>,
    mounts: Arc<MountNamespace>,
}

impl World {
    pub(crate) fn new() -> Self {
        let sched = Sched::new(2, Arc::new(NoKick));
        sched.run();
        let root = Dentry::root(Node::new(1, abi::fs::mode::S_IFDIR | 0o755));
        let mounts = MountNamespace::new(Arc::new(Flat), root, "none", MountFlags::default());
        let charge = Charge::new(u64::MAX);
        Self { sched, namespace: Namespace::new(&charge), charge, mounts }
    }

    /// Starts `job` on a fiber of its own; the receiver hears of its end.
    pub(crate) fn start(
        &self,
        creds: Credentials,
        job: impl FnOnce(&Ctx<'_>, &Self) + Send + 'static,
    ) -> Running {
        let world = self.clone();
        let (done, end) = channel();
        let run = move |fiber: &Fiber<'_>| {
            let place = world.mounts.root();
            let creds = Arc::new(creds);
            let (root, cwd) = (&place, &place);
            let mounts = &world.mounts;
            let cx = Ctx { fiber, creds: &creds, root, cwd, mounts, umask: 0, task: None };
            job(&cx, &world);
        };
        let body = Arc::new(Run { job: Mutex::new(Some(Box::new(run))), done });
        let entity = self.sched.spawn(body);
        self.sched.start(&entity);
        Running { end, entity }
    }

    /// Runs `job` as root and waits for it. Nothing may be left behind.
    pub(crate) fn run(&self, job: impl FnOnce(&Ctx<'_>, &Self) + Send + 'static) {
        self.start(Credentials::root(), job).join();
        assert_eq!(self.namespace.flight().count(), 0, "descriptors in flight");
        assert_eq!(self.charge.usage().total, 0, "bytes in buffers");
    }

    pub(crate) fn socket(&self, cx: &Ctx<'_>, family: u16, kind: u32) -> Held {
        Held::new(create(cx, &self.namespace, u32::from(family), kind, 0).unwrap())
    }

    pub(crate) fn pair(&self, cx: &Ctx<'_>, kind: u32) -> (Held, Held) {
        let family = u32::from(abi::socket::family::AF_UNIX);
        let [a, b] = create_pair(cx, &self.namespace, family, kind, 0).unwrap();
        (Held::new(a), Held::new(b))
    }
}

/// A job on its fiber.
pub(crate) struct Running {
    end: Receiver<Result<(), Box<dyn Any + Send>>>,
    pub(crate) entity: Arc<sched::Entity>,
}

impl Running {
    pub(crate) fn join(self) {
        match self.end.recv_timeout(DEADLINE) {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("the job did not end in time"),
        }
    }
}

/// Runs `job` as root in a new sandbox.
pub(crate) fn run(job: impl FnOnce(&Ctx<'_>, &World) + Send + 'static) {
    World::new().run(job);
}

/// A descriptor of a socket.
#[derive(Clone)]
pub(crate) struct Held(pub(crate) Arc<OpenFile>);

impl Held {
    pub(crate) fn new(file: Arc<OpenFile>) -> Self {
        file.add_user();
        Self(file)
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.0.downcast().unwrap()
    }

    pub(crate) fn close(self, cx: &Ctx<'_>) {
        self.0.remove_user(cx);
    }

    pub(crate) fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        self.socket().bind(cx, addr)
    }

    pub(crate) fn connect(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        self.socket().connect(cx, addr, self.0.is_nonblocking())
    }

    pub(crate) fn accept(&self, cx: &Ctx<'_>) -> Result<Self, Errno> {
        self.socket().accept(cx, self.0.is_nonblocking(), 0).map(Self::new)
    }

    pub(crate) fn send_with(
        &self,
        cx: &Ctx<'_>,
        bytes: &[u8],
        out: Outgoing,
    ) -> Result<usize, Errno> {
        self.socket().send(cx, &mut BytesSrc(bytes), out, self.0.is_nonblocking())
    }

    pub(crate) fn send(&self, cx: &Ctx<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        self.send_with(cx, bytes, Outgoing::default())
    }

    pub(crate) fn send_to(&self, cx: &Ctx<'_>, bytes: &[u8], to: &Address) -> Result<usize, Errno> {
        self.send_with(cx, bytes, Outgoing { to: Some(to.clone()), ..Outgoing::default() })
    }

    pub(crate) fn recv_with(
        &self,
        cx: &Ctx<'_>,
        len: usize,
        how: RecvHow,
    ) -> Result<(Vec<u8>, Received), Errno> {
        let mut space = vec![0; len];
        let mut dst = BytesDst::new(&mut space);
        let received = self.socket().recv(cx, &mut dst, how, self.0.is_nonblocking())?;
        space.truncate(received.count);
        Ok((space, received))
    }

    pub(crate) fn recv(&self, cx: &Ctx<'_>, len: usize) -> Result<Vec<u8>, Errno> {
        let (bytes, received) = self.recv_with(cx, len, RecvHow::default())?;
        received.control.discard(cx);
        Ok(bytes)
    }

    /// Receives without waiting.
    pub(crate) fn try_recv(&self, cx: &Ctx<'_>, len: usize) -> Result<Vec<u8>, Errno> {
        let how = RecvHow { dont_wait: true, ..RecvHow::default() };
        let (bytes, received) = self.recv_with(cx, len, how)?;
        received.control.discard(cx);
        Ok(bytes)
    }

    pub(crate) fn poll(&self) -> u32 {
        self.0.file().poll()
    }
}

/// The address of a Unix socket in the file system.
pub(crate) fn path(name: &str) -> Address {
    Address::Unix(UnixName::Path(name.as_bytes().to_vec()))
}

/// The address of a Unix socket outside of it.
pub(crate) fn abstract_name(name: &str) -> Address {
    Address::Unix(UnixName::Abstract(name.as_bytes().to_vec()))
}
