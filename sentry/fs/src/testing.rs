//! A sandbox for tests: a fiber to run on, and a root directory.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use auth::Credentials;
use host::MemoryObject;
use mm::{Charge, Memory};
use sched::{Body, Fiber, Kicker, Leave, Sched};
use vfs::{
    BytesDst, BytesSrc, Ctx, Dentry, DirEntry, DirSink, Filesystem, Inode, MountFlags,
    MountNamespace, OpenFile, OpenHow, Path,
};

use crate::{
    Shared,
    tmpfs::{Options, Tmpfs},
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

/// A sandbox with a tmpfs as root.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) sched: Arc<Sched>,
    pub(crate) shared: Arc<Shared>,
    mounts: Arc<MountNamespace>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::limited(u64::MAX)
    }

    pub(crate) fn limited(bytes: u64) -> Self {
        let object = Arc::new(MemoryObject::new(1 << 30).unwrap());
        let memory = Memory::new(object, 1 << 30);
        let shared = Shared::new(&memory, &Charge::new(bytes));
        let (fs, root) = Tmpfs::new(&shared, Options::default()).unwrap();
        Self::with_root(shared, fs, root)
    }

    pub(crate) fn with_root(
        shared: Arc<Shared>,
        fs: Arc<dyn Filesystem>,
        root: Arc<dyn Inode>,
    ) -> Self {
        let sched = Sched::new(2, Arc::new(NoKick));
        sched.run();
        Self::on(sched, shared, fs, root)
    }

    /// A sandbox with this root on a scheduler that runs already.
    pub(crate) fn on(
        sched: Arc<Sched>,
        shared: Arc<Shared>,
        fs: Arc<dyn Filesystem>,
        root: Arc<dyn Inode>,
    ) -> Self {
        let mounts = MountNamespace::new(fs, Dentry::root(root), "none", MountFlags::default());
        Self { sched, shared, mounts }
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

    /// Runs `job` as root and waits for it.
    pub(crate) fn run(&self, job: impl FnOnce(&Ctx<'_>, &Self) + Send + 'static) {
        self.start(Credentials::root(), job).join();
    }
}

/// A job on its fiber.
pub(crate) struct Running {
    end: std::sync::mpsc::Receiver<Result<(), Box<dyn Any + Send>>>,
    pub(crate) entity: Arc<sched::Entity>,
}

impl Running {
    pub(crate) fn join(self) {
        match self.end.recv_timeout(DEADLINE) {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => unreachable!("the job did not end in time: {error}"),
        }
    }
}

/// Runs `job` as root in a new sandbox.
pub(crate) fn run(job: impl FnOnce(&Ctx<'_>, &World) + Send + 'static) {
    World::new().run(job);
}

/// Lists names.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) found: Vec<(String, u64)>,
    pub(crate) room: usize,
}

impl DirSink for Names {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        let name = String::from_utf8_lossy(entry.name).into_owned();
        self.found.push((name, entry.ino));
        true
    }
}

/// Opens a path from the root.
pub(crate) fn open(cx: &Ctx<'_>, path: &str, flags: u32) -> Arc<OpenFile> {
    try_open(cx, path, flags).unwrap()
}

pub(crate) fn try_open(cx: &Ctx<'_>, path: &str, flags: u32) -> Result<Arc<OpenFile>, abi::Errno> {
    let how = OpenHow { flags, mode: 0o644, ..OpenHow::default() };
    let file = cx.open(cx.root, path.as_bytes(), how)?;
    file.add_user();
    Ok(file)
}

pub(crate) fn write(cx: &Ctx<'_>, file: &OpenFile, bytes: &[u8]) -> Result<usize, abi::Errno> {
    file.write(cx, &mut BytesSrc(bytes))
}

pub(crate) fn read(cx: &Ctx<'_>, file: &OpenFile, len: usize) -> Result<Vec<u8>, abi::Errno> {
    let mut buf = vec![0; len];
    let count = file.read(cx, &mut BytesDst::new(&mut buf))?;
    buf.truncate(count);
    Ok(buf)
}

/// Reads a whole file.
pub(crate) fn contents(cx: &Ctx<'_>, path: &str) -> Result<Vec<u8>, abi::Errno> {
    let file = try_open(cx, path, 0)?;
    let bytes = read(cx, &file, 1 << 20);
    file.remove_user(cx);
    bytes
}

/// Makes a file with these contents.
pub(crate) fn put(cx: &Ctx<'_>, path: &str, bytes: &[u8]) {
    use abi::fs::open::{O_CREAT, O_TRUNC, O_WRONLY};
    let file = open(cx, path, O_CREAT | O_WRONLY | O_TRUNC);
    assert_eq!(write(cx, &file, bytes), Ok(bytes.len()));
    file.remove_user(cx);
}

/// Finds a place without following a link at the end.
pub(crate) fn find(cx: &Ctx<'_>, path: &str) -> Result<Path, abi::Errno> {
    let flags = vfs::LookupFlags { no_follow: true, ..Default::default() };
    cx.lookup(cx.root, path.as_bytes(), flags)
}

/// Names in a directory, sorted, without `.` and `..`.
pub(crate) fn list(cx: &Ctx<'_>, path: &str) -> Vec<String> {
    let dir = open(cx, path, 0);
    let mut names = Names { room: usize::MAX, ..Names::default() };
    dir.read_dir(cx, &mut names).unwrap();
    let mut found: Vec<String> = names.found.into_iter().map(|(name, _)| name).collect();
    found.retain(|name| name != "." && name != "..");
    found.sort();
    found
}

/// A tmpfs for tests of other file systems, which may not name it.
pub(crate) fn memory(shared: &Arc<Shared>) -> (Arc<dyn Filesystem>, Arc<dyn Inode>) {
    let options = Options { mode: 0o755, ..Options::default() };
    let (fs, root) = Tmpfs::new(shared, options).unwrap();
    (fs, root)
}

/// A pipe that does not wait, for the same.
pub(crate) fn pipe(cx: &Ctx<'_>, world: &World) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let (reader, writer) =
        crate::pipefs::pipe(cx, &world.shared, abi::fs::open::O_NONBLOCK).unwrap();
    reader.add_user();
    writer.add_user();
    (reader, writer)
}

/// An overlay over a tree of the host.
#[test]
fn an_overlay_over_a_gofer_behaves_as_every_tree() {
    let dir = tempfile::tempdir().unwrap();
    let below = crate::gofer::world_on(dir.path());
    std::fs::create_dir(dir.path().join("lower")).unwrap();
    std::fs::write(dir.path().join("lower/f"), vec![3; 100_000]).unwrap();
    let (sender, receiver) = channel();
    below.run(move |cx, world| {
        let (_, upper) = memory(&world.shared);
        let root = find(cx, "/").unwrap().inode().clone();
        let mounted = crate::overlay::mount(cx.fiber, &world.shared, root, &upper).unwrap();
        sender.send(mounted).unwrap();
    });
    let (fs, root) = receiver.recv().unwrap();
    let world = World::on(below.sched.clone(), below.shared.clone(), fs, root);
    world.run(|cx, _| {
        let mapped = open(cx, "/lower/f", 0).file().mappable(cx, false).unwrap();
        let behind = mapped.translate(0, 4096, false).unwrap().backing;
        assert!(matches!(behind, platform::Backing::File { .. }), "the host's file itself");
        let file = open(cx, "/lower/f", abi::fs::open::O_RDWR);
        file.write_at(cx, &mut BytesSrc(b"changed"), 50_000).unwrap();
        let mut expected = vec![3; 100_000];
        expected[50_000..50_007].copy_from_slice(b"changed");
        assert_eq!(contents(cx, "/lower/f").unwrap(), expected);
        cx.remove(cx.root, b"/lower/f", false).unwrap();
        cx.remove(cx.root, b"/lower", true).unwrap();
        crate::base::generic::all(cx);
    });
    assert_eq!(std::fs::read(dir.path().join("lower/f")).unwrap(), vec![3; 100_000]);
}
