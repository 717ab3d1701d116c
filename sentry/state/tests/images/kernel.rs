//! A small kernel to save: cycles, sharing, trait objects, weak references.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};

use state::live::Live;
use state::{Error, Load, Object, Registry, Save};

#[derive(Save, Load, Default)]
pub(crate) struct Kernel {
    pub(crate) tasks: Mutex<Vec<Arc<Task>>>,
    pub(crate) mounts: RwLock<BTreeMap<String, Arc<Directory>>>,
    pub(crate) hosts: [u16; 2],
    #[state(skip)]
    pub(crate) _running: AtomicU32,
}

#[derive(Save, Load)]
#[state(after_load = Task::check)]
pub(crate) struct Task {
    pub(crate) tid: u32,
    pub(crate) group: Arc<Group>,
    #[state(early)]
    pub(crate) fds: Mutex<Arc<FdTable>>,
    pub(crate) regs: Mutex<Regs>,
    pub(crate) restart: Mutex<Restart>,
    #[state(skip)]
    pub(crate) checked: AtomicU32,
    #[state(skip)]
    pub(crate) _live: Live<Self>,
}

impl Task {
    pub(crate) fn new(tid: u32, group: &Arc<Group>, fds: &Arc<FdTable>) -> Arc<Self> {
        let task = Arc::new(Self {
            tid,
            group: Arc::clone(group),
            fds: Mutex::new(Arc::clone(fds)),
            regs: Mutex::default(),
            restart: Mutex::default(),
            checked: AtomicU32::new(0),
            _live: Live::new(),
        });
        group.tasks.lock().unwrap().push(Arc::downgrade(&task));
        let _ = group.leader.set(Arc::clone(&task));
        task
    }

    fn check(&self) -> state::Result<()> {
        self.checked.fetch_add(1, Ordering::Relaxed);
        let members = self.group.tasks.lock().unwrap();
        if members.iter().any(|task| std::ptr::eq(task.as_ptr(), self)) {
            return Ok(());
        }
        Err(Error::cannot_load(format!("task {} is not in its group", self.tid)))
    }

    pub(crate) fn file(&self, fd: u32) -> Arc<dyn File> {
        Arc::clone(&self.fds.lock().unwrap().files.lock().unwrap()[&fd])
    }
}

#[derive(Save, Load, Default)]
#[state(name = "ThreadGroup")]
pub(crate) struct Group {
    pub(crate) leader: OnceLock<Arc<Task>>,
    pub(crate) tasks: Mutex<Vec<Weak<Task>>>,
}

#[derive(Save, Load, Default)]
pub(crate) struct FdTable {
    pub(crate) files: Mutex<BTreeMap<u32, Arc<dyn File>>>,
    pub(crate) watched: Mutex<Vec<Weak<dyn File>>>,
}

#[derive(Save, Load, Default, Debug, PartialEq, Clone)]
pub(crate) struct Regs {
    pub(crate) pc: u64,
    pub(crate) stack: Vec<u8>,
    pub(crate) signed: (i32, Option<Box<Regs>>),
}

#[derive(Save, Load, Default, Debug, PartialEq)]
pub(crate) enum Restart {
    #[default]
    None,
    Again,
    Read {
        fd: u32,
        left: u64,
    },
    Sleep(std::time::Duration),
}

pub(crate) trait File: Object {
    fn content(&self) -> Vec<u8>;
}

#[derive(Save, Load, Default)]
pub(crate) struct Pipe {
    pub(crate) data: Mutex<Vec<u8>>,
    #[state(skip)]
    pub(crate) _readers: Mutex<Vec<Weak<Task>>>,
    #[state(skip)]
    pub(crate) _live: Live<Self>,
}

impl File for Pipe {
    fn content(&self) -> Vec<u8> {
        self.data.lock().unwrap().clone()
    }
}

#[derive(Save, Load)]
pub(crate) struct Null(pub(crate) AtomicU32);

impl File for Null {
    fn content(&self) -> Vec<u8> {
        vec![]
    }
}

#[derive(Save, Load)]
pub(crate) struct Directory {
    pub(crate) name: String,
    pub(crate) parent: Option<Arc<Directory>>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        state::drop_linked(self.parent.take(), |directory| directory.parent.take());
    }
}

pub(crate) fn registry() -> Registry {
    Registry::new(1)
        .object::<Kernel>()
        .object::<Task>()
        .object::<Group>()
        .object::<FdTable>()
        .object::<Directory>()
        .object::<Pipe>()
        .view::<Pipe, dyn File>(|weak| weak)
        .object::<Null>()
        .view::<Null, dyn File>(|weak| weak)
}

/// Two tasks of one group that share an fd table with files of two types.
pub(crate) fn sample() -> Arc<Kernel> {
    let kernel = Arc::new(Kernel { hosts: [7, 300], ..Kernel::default() });
    let pipe = Arc::new(Pipe { data: Mutex::new(b"in the pipe".to_vec()), ..Pipe::default() });
    let null = Arc::new(Null(AtomicU32::new(40_000)));
    let fds = Arc::new(FdTable::default());
    {
        let mut files = fds.files.lock().unwrap();
        files.insert(0, null);
        files.insert(3, Arc::clone(&pipe) as _);
        files.insert(4, Arc::clone(&pipe) as _);
        let pipe: Weak<dyn File> = Arc::downgrade(&files[&3]);
        let dead: Weak<dyn File> = Weak::<Null>::new();
        fds.watched.lock().unwrap().extend([pipe, dead]);
    }
    let group = Arc::new(Group::default());
    let tasks = [1, 2].map(|tid| Task::new(tid, &group, &fds));
    let inner = Regs { pc: 1, stack: vec![], signed: (i32::MIN, None) };
    *tasks[0].regs.lock().unwrap() =
        Regs { pc: u64::MAX, stack: vec![0, 128, 255], signed: (-1, Some(Box::new(inner))) };
    *tasks[0].restart.lock().unwrap() = Restart::Read { fd: 3, left: 6 };
    *tasks[1].restart.lock().unwrap() = Restart::Sleep(std::time::Duration::new(5, 999_999_999));
    kernel.tasks.lock().unwrap().extend(tasks);
    let root = Arc::new(Directory { name: "/".into(), parent: None });
    let tmp = Arc::new(Directory { name: "tmp".into(), parent: Some(Arc::clone(&root)) });
    kernel.mounts.write().unwrap().extend([("/tmp".into(), tmp), ("/".into(), root)]);
    kernel
}
