//! Whole loads, on a platform without a machine.

#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

mod fake;
mod tree;

use std::{collections::BTreeMap, sync::mpsc};

use mm::{Charge, Memory};
use object::{Object, ObjectSegment};
use sched::{Body, Fiber, Kicker, Leave, Sched};
use vfs::{Dentry, LookupFlags, MountFlags, MountNamespace};

use self::{fake::FakePlatform, tree::Node};
use super::*;
use crate::{
    Cx, FsContext, KernelArgs, Pid, Process, SysResult, SyscallTable, Task, Uts,
    signal::SignalActions, task::TaskParts,
};

#[derive(Debug)]
struct NoCalls;

impl SyscallTable for NoCalls {
    fn call(&self, _cx: &mut Cx<'_>, _number: u64, _args: [u64; 6]) -> SysResult {
        Err(Errno::ENOSYS)
    }
}

impl Kicker for NoCalls {
    fn kick(&self, _executor: usize) {}
}

/// A kernel and a file system.
struct World {
    kernel: Arc<Kernel>,
    files: BTreeMap<Vec<u8>, Node>,
}

/// What to load, by whom.
struct Job {
    kernel: Arc<Kernel>,
    root: Node,
    path: Vec<u8>,
    argv: Vec<Vec<u8>>,
    limits: Limits,
    creds: Credentials,
    result: mpsc::Sender<Result<Loaded, Errno>>,
}

impl Body for Job {
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave {
        let root = Dentry::root(Arc::new(self.root.clone()));
        let mounts = MountNamespace::new(Arc::new(tree::Tree), root, "test", MountFlags::default());
        let context = FsContext::new(mounts.root(), mounts, 0o022);
        let env = context.env(fiber, Arc::new(self.creds.clone()), None);
        self.result.send(self.load(&env.ctx())).unwrap();
        Leave::Exit
    }
}

impl Job {
    fn load(&self, fs: &Ctx<'_>) -> Result<Loaded, Errno> {
        let place = fs.lookup(fs.cwd, &self.path, LookupFlags::default())?;
        let file = fs.open_found(place, 0, true)?;
        let args = LoadArgs {
            kernel: &self.kernel,
            file,
            path: self.path.clone(),
            argv: self.argv.clone(),
            envp: vec![b"HOME=/".to_vec()],
            limits: self.limits,
            creds: Arc::new(self.creds.clone()),
        };
        load(fs, args)
    }
}

/// A kernel with one executor and no processes, on a platform without a machine.
pub(crate) fn kernel() -> Arc<Kernel> {
    let object = Arc::new(host::MemoryObject::new(1 << 30).unwrap());
    let sched = Sched::new(1, Arc::new(NoCalls));
    sched.run();
    let memory = Memory::new(object.clone(), 1 << 30);
    let charge = Charge::new(u64::MAX);
    Kernel::new(KernelArgs {
        platform: Arc::new(FakePlatform(object)),
        vdso: Some(Vdso::new(&memory, &charge).unwrap()),
        memory,
        charge,
        sched,
        syscalls: Box::new(NoCalls),
        uts: Uts::new("test"),
    })
}

/// A task that never runs, alone in its process.
pub(crate) fn task(kernel: &Arc<Kernel>) -> Arc<Task> {
    let root = Dentry::root(Arc::new(Node::dir(BTreeMap::new())));
    let mounts = MountNamespace::new(Arc::new(tree::Tree), root, "test", MountFlags::default());
    let (actions, fpu) = (Arc::new(SignalActions::default()), abi::FpuState::default());
    let process = Process::new(Pid::INIT, actions, Limits::default());
    Task::new(TaskParts {
        kernel: kernel.clone(),
        process,
        tid: Pid::INIT,
        mm: MemoryManager::new(&kernel.platform, &kernel.memory, &kernel.charge).unwrap(),
        files: Arc::default(),
        fs: FsContext::new(mounts.root(), mounts, 0),
        creds: Arc::new(Credentials::root()),
        user: Box::new(platform::UserState::new(abi::Registers::default(), fpu)),
        name: [0; 16],
        blocked: abi::SigSet::EMPTY,
    })
}

impl World {
    fn new() -> Self {
        Self { kernel: kernel(), files: BTreeMap::new() }
    }

    fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        let node = Node::file(&self.kernel.memory, &self.kernel.charge, bytes);
        self.files.insert(name.as_bytes().to_vec(), node);
        self
    }

    fn change(mut self, name: &str, permissions: u32, uid: u32) -> Self {
        let node = self.files.remove(name.as_bytes()).unwrap();
        self.files.insert(name.as_bytes().to_vec(), node.with(permissions, uid));
        self
    }

    fn load_as(&self, path: &str, argv: &[&str], creds: Credentials) -> Result<Loaded, Errno> {
        let (result, results) = mpsc::channel();
        let job = Job {
            kernel: self.kernel.clone(),
            root: Node::dir(self.files.clone()),
            path: path.as_bytes().to_vec(),
            argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            limits: Limits::default(),
            creds,
            result,
        };
        let entity = self.kernel.sched.spawn(Arc::new(job));
        self.kernel.sched.start(&entity);
        results.recv_timeout(std::time::Duration::from_secs(60)).unwrap()
    }

    fn load(&self, path: &str, argv: &[&str]) -> Result<Loaded, Errno> {
        self.load_as(path, argv, Credentials::root())
    }
}

/// A small static program: text and data that share a page of the file, and a bss.
fn program(kind: u16, base: u64, interpreter: Option<&[u8]>) -> Vec<u8> {
    let mut file = vec![0_u8; 0x1400];
    let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(&mut file, 0, b"\x7fELF\x02\x01\x01");
    put(&mut file, 16, &kind.to_le_bytes());
    put(&mut file, 18, &62_u16.to_le_bytes());
    put(&mut file, 20, &1_u32.to_le_bytes());
    put(&mut file, 24, &(base + 0x200).to_le_bytes());
    put(&mut file, 32, &64_u64.to_le_bytes());
    put(&mut file, 54, &56_u16.to_le_bytes());
    let mut count = 0_u16;
    let mut part = |file: &mut Vec<u8>, kind: u32, flags: u32, words: [u64; 6]| {
        let at = 64 + usize::from(count) * 56;
        put(file, at, &kind.to_le_bytes());
        put(file, at + 4, &flags.to_le_bytes());
        for (index, word) in words.into_iter().enumerate() {
            put(file, at + 8 + index * 8, &word.to_le_bytes());
        }
        count += 1;
        count
    };
    part(&mut file, 1, 5, [0, base, base, 0x1300, 0x1300, 0x1000]);
    let data = base + 0x2300;
    let mut parts = part(&mut file, 1, 6, [0x1300, data, data, 0x80, 0x3000, 0x1000]);
    if let Some(path) = interpreter {
        let len = path.len() as u64;
        parts = part(&mut file, 3, 4, [0x1000, base + 0x1000, base + 0x1000, len, len, 1]);
        put(&mut file, 0x1000, path);
    }
    put(&mut file, 56, &parts.to_le_bytes());
    put(&mut file, 0x200, b"\xcc text");
    put(&mut file, 0x1300, b"data");
    put(&mut file, 0x1380, b"not of the segment");
    file
}

const STATIC: u16 = 2;
const MOVABLE: u16 = 3;

fn auxv(loaded: &Loaded) -> BTreeMap<u64, u64> {
    let range = loaded.arguments.auxv;
    let mut bytes = vec![0; range.len() as usize];
    loaded.mm.read(range.start, &mut bytes).unwrap();
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    bytes.chunks(16).map(|pair| (word(&pair[..8]), word(&pair[8..]))).collect()
}

fn arguments(loaded: &Loaded) -> String {
    let range = loaded.arguments.args;
    let mut bytes = vec![0; range.len() as usize];
    loaded.mm.read(range.start, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn bytes_at(loaded: &Loaded, addr: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    loaded.mm.read(UserAddr::new(addr), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_static_program_lies_where_it_says_and_its_bss_is_zero() {
    let world = World::new().with("prog", &program(STATIC, 0x40_0000, None));
    let loaded = world.load("/prog", &["prog", "x"]).unwrap();
    assert_eq!(loaded.entry.get(), 0x40_0200);
    assert_eq!(bytes_at(&loaded, 0x40_0200, 6), b"\xcc text");
    let data = bytes_at(&loaded, 0x40_2300, 0x3000);
    assert_eq!(data[..4], *b"data");
    assert!(data[4..].iter().all(|byte| *byte == 0));
    let maps: Vec<_> = loaded.mm.maps().iter().map(|map| (map.range, map.protection)).collect();
    let range = |start, end| abi::AddrRange::new(UserAddr::new(start), UserAddr::new(end));
    assert_eq!(maps[0], (range(0x40_0000, 0x40_2000), Protection::READ_EXECUTE));
    assert_eq!(maps[1], (range(0x40_2000, 0x40_3000), Protection::READ_WRITE));
    assert_eq!(maps[2], (range(0x40_3000, 0x40_6000), Protection::READ_WRITE));
    let auxv = auxv(&loaded);
    assert_eq!(auxv[&auxv::AT_PHDR], 0x40_0040);
    assert_eq!((auxv[&auxv::AT_PHNUM], auxv[&auxv::AT_BASE]), (2, 0));
    assert_eq!((auxv[&auxv::AT_ENTRY], auxv[&auxv::AT_SECURE]), (0x40_0200, 0));
    assert_eq!(arguments(&loaded), "prog\0x\0");
    assert_eq!(&loaded.name, b"prog\0\0\0\0\0\0\0\0\0\0\0\0");
    let brk = loaded.mm.brk(UserAddr::NULL).get();
    assert!((0x40_6000..0x40_6000 + (32 << 20)).contains(&brk));
    assert_ne!(loaded.mm.brk(UserAddr::new(brk + 0x5000)).get(), brk);
}

#[test]
fn each_program_has_the_vdso_and_its_data() {
    let world = World::new().with("prog", &program(STATIC, 0x40_0000, None));
    let loaded = world.load("/prog", &["prog"]).unwrap();
    let at = auxv(&loaded)[&auxv::AT_SYSINFO_EHDR];
    let image = bytes_at(&loaded, at, 4096);
    let functions = object::File::parse(&*image).unwrap().dynamic_symbols().count();
    assert_eq!(functions, host::vdso::FUNCTIONS.len());
    let data = UserAddr::new(at - 4096);
    assert_eq!(loaded.mm.read(data, &mut [0; 4096]), Ok(()));
    assert_eq!(loaded.mm.write(data, &[1]), Err(Errno::EFAULT));
    assert_eq!(loaded.mm.write(UserAddr::new(at), &[1]), Err(Errno::EFAULT));
    let maps = loaded.mm.maps();
    for (name, addr) in [("[vvar]", at - 4096), ("[vdso]", at)] {
        assert!(maps.iter().any(|map| map.name == name && map.range.start.get() == addr));
    }
}

#[test]
fn what_is_written_to_a_program_does_not_reach_its_file() {
    let world = World::new().with("prog", &program(STATIC, 0x40_0000, None));
    let first = world.load("/prog", &["prog"]).unwrap();
    first.mm.write(UserAddr::new(0x40_2300), b"DATA").unwrap();
    let second = world.load("/prog", &["prog"]).unwrap();
    assert_eq!(bytes_at(&second, 0x40_2300, 4), b"data");
    assert_eq!(first.mm.write(UserAddr::new(0x40_0200), b"x"), Err(Errno::EFAULT));
}

#[test]
fn an_interpreter_starts_in_place_of_the_program() {
    let world = World::new()
        .with("prog", &program(MOVABLE, 0, Some(b"/ld.so\0")))
        .with("ld.so", &program(MOVABLE, 0x7000, None));
    let loaded = world.load("/prog", &["prog"]).unwrap();
    let auxv = auxv(&loaded);
    assert_eq!(loaded.entry.get(), auxv[&auxv::AT_BASE] + 0x7200);
    assert_eq!(auxv[&auxv::AT_PHDR] & 0xfff, 0x40);
    assert_eq!(auxv[&auxv::AT_ENTRY], auxv[&auxv::AT_PHDR] - 0x40 + 0x200);
    assert_eq!(bytes_at(&loaded, auxv[&auxv::AT_ENTRY], 6), b"\xcc text");
    assert_eq!(bytes_at(&loaded, loaded.entry.get(), 6), b"\xcc text");
}

#[test]
fn a_bad_interpreter_is_told_apart() {
    let world = World::new()
        .with("none", &program(MOVABLE, 0, Some(b"/gone\0")))
        .with("bad", &program(MOVABLE, 0, Some(b"/text\0")))
        .with("open", &program(MOVABLE, 0, Some(b"/text")))
        .with("text", &[b'x'; 100])
        .with("tiny", b"x");
    assert_eq!(world.load("/none", &[]).unwrap_err(), Errno::ENOENT);
    assert_eq!(world.load("/bad", &[]).unwrap_err(), Errno::ELIBBAD);
    assert_eq!(world.load("/open", &[]).unwrap_err(), Errno::ENOEXEC);
    assert_eq!(world.load("/text", &[]).unwrap_err(), Errno::ENOEXEC);
    assert_eq!(world.load("/tiny", &[]).unwrap_err(), Errno::ENOEXEC);
    assert_eq!(world.load("/", &[]).unwrap_err(), Errno::EACCES);
}

#[test]
fn scripts_lead_to_a_program_up_to_five_deep() {
    let mut world = World::new()
        .with("prog", &program(STATIC, 0x40_0000, None))
        .with("s1", b"#!/prog -a b\nrest");
    for depth in 2..=6 {
        let line = format!("#!/s{}\n", depth - 1);
        world = world.with(&format!("s{depth}"), line.as_bytes());
    }
    let loaded = world.load("/s2", &["name", "x"]).unwrap();
    assert_eq!(arguments(&loaded), "/prog\0-a b\0/s1\0/s2\0x\0");
    assert_eq!(&loaded.name[..3], b"s2\0");
    assert!(world.load("/s5", &["name"]).is_ok());
    assert_eq!(world.load("/s6", &["name"]).unwrap_err(), Errno::ELOOP);
    let world = world.change("prog", 0o644, 0);
    assert_eq!(world.load("/s2", &["name"]).unwrap_err(), Errno::EACCES);
}

#[test]
fn set_id_programs_are_secure() {
    let world =
        World::new().with("prog", &program(STATIC, 0x40_0000, None)).change("prog", 0o4755, 7);
    let loaded = world.load_as("/prog", &["prog"], Credentials::user(5, 5)).unwrap();
    let auxv = auxv(&loaded);
    assert_eq!((auxv[&auxv::AT_UID], auxv[&auxv::AT_EUID]), (5, 7));
    assert_eq!((auxv[&auxv::AT_SECURE], loaded.creds.euid), (1, 7));
}

#[test]
fn an_empty_argv_gets_a_name() {
    let world = World::new().with("prog", &program(STATIC, 0x40_0000, None));
    let loaded = world.load("/prog", &[]).unwrap();
    assert_eq!(arguments(&loaded), "\0");
}

#[test]
fn programs_outside_the_addresses_of_applications_are_refused() {
    let world = World::new()
        .with("low", &program(STATIC, 0, None))
        .with("high", &program(STATIC, abi::USER_MAX.get() - 0x2000, None))
        .with("wrap", &program(STATIC, 0xffff_ffff_ffff_0000, None));
    for path in ["/low", "/high", "/wrap"] {
        assert_eq!(world.load(path, &[]).unwrap_err(), Errno::EINVAL, "{path}");
    }
}

/// The test program itself and its interpreter are real ones.
#[test]
fn a_real_dynamic_program_is_mapped_as_its_headers_say() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let parsed = object::File::parse(&*own).unwrap();
    let elf = elf::Elf::read(reader(&own)).unwrap();
    let at = elf.interpreter.expect("tests are linked dynamically");
    let path = &own[at.start as usize..at.end as usize - 1];
    let interpreter = std::fs::read(std::str::from_utf8(path).unwrap()).unwrap();
    let (dir, name) = path.split_at(path.iter().rposition(|byte| *byte == b'/').unwrap() + 1);
    let mut world =
        World::new().with(std::str::from_utf8(name).unwrap(), &interpreter).with("self", &own);
    let files = Node::dir(world.files.clone());
    let dir = dir.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let nested =
        dir.rev().fold(files, |node, part| Node::dir(BTreeMap::from([(part.to_vec(), node)])));
    let top = path.split(|byte| *byte == b'/').nth(1).unwrap();
    world.files.insert(top.to_vec(), nested.entry(top).unwrap());
    let loaded = world.load("/self", &["self"]).unwrap();
    let auxv = auxv(&loaded);
    let bias = auxv[&auxv::AT_ENTRY] - parsed.entry();
    for segment in parsed.segments() {
        let data = segment.data().unwrap();
        let start = data.len().saturating_sub(5000);
        let addr = segment.address() + bias + start as u64;
        assert_eq!(bytes_at(&loaded, addr, data.len() - start), data[start..]);
    }
    let interpreter_entry = object::File::parse(&*interpreter).unwrap().entry();
    assert_eq!(loaded.entry.get(), auxv[&auxv::AT_BASE] + interpreter_entry);
}

pub(super) fn reader(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Result<usize, Errno> {
    |offset, buffer| {
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

mod forged {
    use proptest::prelude::*;

    use super::{super::elf::Elf, *};

    /// Headers of a real program, each of which is some kind of surprise.
    fn headers() -> Vec<u8> {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        own[..4096].to_vec()
    }

    fn check(elf: &Elf) {
        assert!(elf.align.is_power_of_two() && elf.align >= PAGE_SIZE);
        assert!(!elf.segments.is_empty());
        let mut last = 0;
        for segment in &elf.segments {
            let pages = segment.pages();
            assert!(pages.start >= last && pages.end <= abi::USER_MAX.get());
            assert!(segment.len > 0 && segment.file.len() <= segment.len);
            last = pages.end;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn headers_with_changed_bytes_are_refused_or_sound(
            changes in proptest::collection::vec((0..900_usize, any::<u8>()), 1..12),
            words in proptest::collection::vec((0..110_usize, any::<u64>()), 0..4),
            len in 0..4096_usize,
        ) {
            let mut bytes = headers();
            for (at, byte) in changes {
                // Not the magic: that would end it too soon.
                bytes[(at + 16).min(4000)] = byte;
            }
            for (at, word) in words {
                bytes[24 + at * 8..32 + at * 8].copy_from_slice(&word.to_le_bytes());
            }
            bytes.truncate(len.max(64));
            if let Ok(elf) = Elf::read(reader(&bytes)) {
                check(&elf);
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_sound(mut bytes: Vec<u8>, magic: bool) {
            if magic && bytes.len() > 7 {
                bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            }
            if let Ok(elf) = Elf::read(reader(&bytes)) {
                check(&elf);
            }
        }
    }

    fn changed(at: usize, bytes: &[u8]) -> Result<Elf, Errno> {
        let mut file = program(STATIC, 0x40_0000, Some(b"/ld.so\0"));
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Elf::read(reader(&file))
    }

    /// Where the fields of the first and second program header lie.
    const FIRST: usize = 64;
    const SECOND: usize = FIRST + 56;
    const THIRD: usize = SECOND + 56;

    #[test]
    fn each_odd_header_has_its_error() {
        assert!(changed(0, b"\x7f").is_ok());
        let cases: [(&str, usize, &[u8], Errno); 12] = [
            ("magic", 0, b"\x7eELF", Errno::ENOEXEC),
            ("32 bits", 4, &[1], Errno::ENOEXEC),
            ("big endian", 5, &[2], Errno::ENOEXEC),
            ("object file", 16, &[1, 0], Errno::ENOEXEC),
            ("other machine", 18, &[183, 0], Errno::ENOEXEC),
            ("size of headers", 54, &[57, 0], Errno::ENOEXEC),
            ("no headers", 56, &[0, 0], Errno::ENOEXEC),
            ("too many headers", 56, &[0xff, 0xff], Errno::ENOEXEC),
            ("headers behind the end", 32, &[0xff; 8], Errno::EIO),
            ("file longer than memory", FIRST + 40, &[0; 8], Errno::EINVAL),
            ("not congruent", FIRST + 8, &[8, 0], Errno::EINVAL),
            ("overlap", SECOND + 16, &[0, 0x13, 0x40, 0], Errno::EINVAL),
        ];
        for (name, at, bytes, errno) in cases {
            assert_eq!(changed(at, bytes), Err(errno), "{name}");
        }
        for len in [0_u64, 1, 4097, u64::MAX] {
            assert_eq!(changed(THIRD + 32, &len.to_le_bytes()), Err(Errno::ENOEXEC), "{len}");
        }
    }
}
