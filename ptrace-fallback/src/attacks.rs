//! Attacks on the stub: by application code, by the host's other processes, and by calls that
//! reach the host although they should not.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use abi::{FpuState, Registers, UserAddr};
use host::MemoryObject;
use platform::{
    AddressSpace, Change, Context, Exit, Platform, PlatformError, Protection, UserState,
    conformance::{CODE, FREE_OFFSET, NOTHING, PAGE, Program, file, go, map, map_file, range},
};

use crate::{Ptrace, layout, ptrace::lock, space::Slot, space::Space, stub, tracee::Stop};

const DEADLINE: Duration = Duration::from_secs(60);

struct Bed {
    platform: Arc<Ptrace>,
    memory: Arc<MemoryObject>,
}

impl Bed {
    fn new(executors: usize) -> Self {
        let memory = Arc::new(MemoryObject::new(16 << 20).unwrap());
        Self { platform: Ptrace::new(memory.clone(), executors).unwrap(), memory }
    }

    fn space(&self, program: &Program) -> Arc<dyn AddressSpace> {
        let space = self.platform.new_space().unwrap();
        self.memory.write(0, program.code());
        space.apply(&[map(CODE, 4 * PAGE, 0, Protection::READ_EXECUTE)]).unwrap();
        space
    }

    fn state(&self) -> UserState {
        let fpu = FpuState::initial(self.platform.fpu_size_bytes());
        UserState::new(Registers::for_exec(CODE, 0), fpu)
    }
}

fn pid(space: &Arc<dyn AddressSpace>) -> i32 {
    space.as_any().downcast_ref::<Space>().unwrap().core.pid()
}

fn is_alive(pid: i32) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::kill(pid, 0) == 0 }
}

/// Every executable byte of the stub, with the registers of a service thread.
#[test]
fn code_of_the_service_thread_does_nothing_for_application_threads() {
    let bed = Bed::new(1);
    let program = Program::new().call(1).jump(0);
    let space = bed.space(&program);
    let cx = bed.platform.context(0).unwrap();
    for rip in layout::STUB..layout::CONSTANTS {
        let mut state = bed.state();
        state.regs.rip = rip;
        state.regs.rbx = layout::ORDERS;
        state.regs.r14 = layout::ORDERS + 64;
        state.regs.r13 = 3;
        for _ in 0..4 {
            let exit = go(&*cx, &space, &mut state);
            if !matches!(exit, Exit::Syscall) {
                break;
            }
            state.regs.rax = 1;
        }
    }
    // The real one was not disturbed: what it acknowledges has happened.
    let mut state = bed.state();
    for _ in 0..10 {
        space.apply(&[Change::Unmap { range: range(CODE, PAGE) }]).unwrap();
        assert!(matches!(go(&*cx, &space, &mut state), Exit::Fault { .. }));
        space.apply(&[map(CODE, PAGE, 0, Protection::READ_EXECUTE)]).unwrap();
        state.regs.rip = CODE;
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    }
}

/// Application code that waits for the scratch page and spoils the message header in it, while
/// files are received: a mapping shows its own file, or the space is lost.
#[test]
fn a_spoilt_message_header_never_gives_a_wrong_file() {
    const ROUNDS: u64 = 400;
    let bed = Bed::new(2);
    // mov [rbx + rdx], rax, for ever; a fault is simply tried again. Reader at +64.
    let program = Program::new().raw(&[0x48, 0x89, 0x04, 0x13]).jump(0).pad(64);
    let reader = program.here();
    let program = program.raw(&[0x48, 0x8b, 0x16]).call(1);
    let files: Vec<_> = (0..8_u64)
        .map(|i| {
            let file = file(PAGE);
            file.write_at(&(i + 1).to_le_bytes(), 0).unwrap();
            file
        })
        .collect();
    let (mut right, mut lost, mut turn) = (0, 0, 0);
    let cx = bed.platform.context(0).unwrap();
    let target = std::sync::Mutex::new(None::<(Arc<dyn AddressSpace>, u64)>);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (bed, target, stop) = (&bed, &target, &stop);
        let attacker = scope.spawn(move || {
            let cx = bed.platform.context(1).unwrap();
            while !stop.load(Ordering::SeqCst) {
                let Some((space, round)) = lock(target).clone() else { continue };
                let mut state = bed.state();
                state.regs.rbx = layout::SCRATCH;
                // Each field of the header in turn: a null pointer, a length of 0, a wild one.
                state.regs.rdx = round % 9 * 8;
                state.regs.rax = [0, 1, layout::SCRATCH, u64::MAX][(round % 4) as usize];
                for _ in 0..50 {
                    if cx.switch(&space, &mut state).is_err() {
                        break;
                    }
                }
            }
        });
        let mut space = bed.space(&program);
        for round in 0..ROUNDS {
            *lock(target) = Some((space.clone(), round));
            let (file, wanted) = files.iter().zip(1_u64..).cycle().nth(turn).unwrap();
            turn += 1;
            let change = map_file(NOTHING, PAGE, file, Protection::READ);
            let mut state = bed.state();
            state.regs.rip = CODE + reader;
            state.regs.rsi = NOTHING;
            let seen = space.apply(&[change]).and_then(|()| cx.switch(&space, &mut state));
            match seen {
                Ok(Exit::Syscall) => {
                    assert_eq!(state.regs.rdx, wanted);
                    right += 1;
                }
                Ok(Exit::Interrupted) => {}
                Ok(other) => panic!("{other:?}"),
                Err(PlatformError::SpaceLost(_)) => {
                    lost += 1;
                    space = bed.space(&program);
                }
                Err(error) => panic!("{error}"),
            }
        }
        stop.store(true, Ordering::SeqCst);
        while !attacker.is_finished() {
            bed.platform.kick(1);
            std::thread::yield_now();
        }
    });
    println!("{right} right, {lost} lost");
    assert!(right > 0);
}

/// Application code that fills the signal frames of another executor while the host writes them:
/// what is read there is a hint, so that the worst is a wrong one.
#[test]
fn spoilt_signal_frames_only_mislead_their_own_program() {
    const ROUNDS: u64 = 1000;
    let bed = Bed::new(2);
    // rep stosq; again. At +64 a load that faults, at +128 a #GP.
    let fill = Program::new().raw(&[0x48, 0x89, 0xf1, 0x48, 0x89, 0xd7, 0xf3, 0x48, 0xab]).jump(0);
    let program = fill.pad(64).raw(&[0x48, 0x8b, 0x1c, 0x25, 0, 0, 0, 0]).pad(128).raw(&[0xf4]);
    let space = bed.space(&program);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (bed, shared, stop_seen) = (&bed, &space, &stop);
        let attacker = scope.spawn(move || {
            let cx = bed.platform.context(1).unwrap();
            let mut state = bed.state();
            state.regs.rdx = layout::FRAMES;
            state.regs.rsi = layout::FRAME_BYTES / 8;
            state.regs.rax = u64::MAX;
            while !stop_seen.load(Ordering::SeqCst) {
                assert_eq!(cx.switch(shared, &mut state).unwrap(), Exit::Interrupted);
            }
        });
        let cx = bed.platform.context(0).unwrap();
        let mut state = bed.state();
        for _ in 0..ROUNDS {
            state.regs.rip = CODE + 64;
            assert!(matches!(go(&*cx, &space, &mut state), Exit::Fault { .. }));
            cx.exact_access(&space, &mut state).unwrap();
            assert_eq!(state.regs.rip, CODE + 64);
            state.regs.rip = CODE + 128;
            let exit = go(&*cx, &space, &mut state);
            assert!(matches!(exit, Exit::Trap { vector: 4 | 5 | 10 | 11 | 13, .. }), "{exit:?}");
        }
        stop.store(true, Ordering::SeqCst);
        while !attacker.is_finished() {
            bed.platform.kick(1);
            std::thread::yield_now();
        }
    });
}

/// SIGKILL from outside at any moment of running, mapping and forking: an error, never a hang,
/// and nothing is left.
#[test]
fn a_stub_killed_at_any_moment_is_an_error_and_nothing_more() {
    const ROUNDS: u64 = 300;
    let bed = Bed::new(1);
    let program = Program::new().call(1).jump(0);
    let cx = bed.platform.context(0).unwrap();
    let victim = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let mut pids = Vec::new();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (victim, stop) = (&victim, &stop);
        scope.spawn(move || {
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            while !stop.load(Ordering::SeqCst) {
                let pid = i32::try_from(victim.swap(0, Ordering::SeqCst)).unwrap();
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let wait = Instant::now();
                while wait.elapsed() < Duration::from_nanos((random >> 33) % 600_000) {
                    std::hint::spin_loop();
                }
                if pid != 0 {
                    // SAFETY: touches no memory.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
        });
        for _ in 0..ROUNDS {
            assert!(start.elapsed() < DEADLINE);
            let space = bed.space(&program);
            let mut state = bed.state();
            pids.push(pid(&space));
            victim.store(u64::from(pid(&space).unsigned_abs()), Ordering::SeqCst);
            let lost = loop {
                let page = map(NOTHING, PAGE, FREE_OFFSET, Protection::READ);
                let result = cx
                    .switch(&space, &mut state)
                    .and_then(|_| space.apply(&[page]))
                    .and_then(|()| space.fork().map(drop));
                if let Err(error) = result {
                    break error;
                }
            };
            let told = matches!(lost, PlatformError::SpaceLost(_) | PlatformError::Host { .. });
            assert!(told, "{lost}");
            // It stays lost.
            assert!(cx.switch(&space, &mut state).is_err());
            assert!(space.apply(&[Change::Unmap { range: range(NOTHING, PAGE) }]).is_err());
            assert!(space.fork().is_err());
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(pids.into_iter().filter(|pid| is_alive(*pid)).count(), 0);
}

/// Has the host run `regs` in a carrier as any ordinary process, and returns the signal that
/// stopped it, or `None` if it died.
fn run_for_real(bed: &Bed, cx: &dyn Context, regs: &Registers) -> Option<i32> {
    let program = Program::new().call(1).raw(&[0x0f, 0x05]).crash().raw(&[0xff, 0xd3]).crash();
    let space = bed.space(&program);
    let mut state = bed.state();
    assert_eq!(go(cx, &space, &mut state), Exit::Syscall);
    let core = &space.as_any().downcast_ref::<Space>().unwrap().core;
    let slot = lock(core.slot(0).unwrap());
    let Slot::Ready(carrier) = &*slot else { panic!("no carrier") };
    let tracee = carrier.tracee;
    let regs = Registers { cs: 0x33, ss: 0x2b, eflags: 0x202, ..*regs };
    tracee.write_registers(&regs).unwrap();
    tracee.run_unprotected().unwrap();
    match tracee.wait() {
        Ok(Stop::Signal(signal)) => Some(signal),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

/// The second wall: each number of a host call, continued past SYSEMU, with the arguments with
/// which the service thread may make it.
#[test]
fn no_call_of_an_application_thread_is_made_for_real() {
    let bed = Bed::new(1);
    let cx = bed.platform.context(0).unwrap();
    let regs = |number: u64| Registers {
        rip: CODE + 7,
        rax: number,
        orig_rax: u64::MAX,
        rsp: layout::FRAMES + 4096,
        ..Registers::default()
    };
    let numbers = (0..470).chain([0x4000_0000, 0x4000_0001, 0x7fff_ffff, u64::MAX]);
    for number in numbers {
        let stopped = run_for_real(&bed, &*cx, &regs(number));
        // uretprobe and uprobe pass every filter, by the host kernel's own rule (Linux 6.11 on);
        // outside a probe they do nothing and end in SIGILL, or in the ud2 behind the call.
        let probe = matches!(number, 335 | 336) && stopped == Some(libc::SIGILL);
        assert!(stopped.is_none() || probe, "call {number}: {stopped:?}");
    }
    let acknowledge = Registers { rdi: 2, rsi: layout::ACK, rdx: 1, ..regs(1) };
    assert_eq!(run_for_real(&bed, &*cx, &acknowledge), None);
    let unmap = Registers { rdi: CODE, rsi: PAGE, ..regs(11) };
    assert_eq!(run_for_real(&bed, &*cx, &unmap), None);
    // The host's time: a signal before anything is told.
    let vsyscall = Registers { rip: CODE + 11, rbx: 0xffff_ffff_ff60_0000, ..regs(0) };
    let stopped = run_for_real(&bed, &*cx, &vsyscall);
    assert!(matches!(stopped, Some(libc::SIGSYS | libc::SIGSEGV)), "{stopped:?}");
}

/// What a space holds of the host: its own pages, three files, no stack, no vDSO.
#[test]
fn a_stub_has_nothing_but_what_it_needs() {
    let bed = Bed::new(1);
    let cx = bed.platform.context(0).unwrap();
    let parent = bed.space(&Program::new().call(1).jump(0));
    let donated = file(PAGE);
    parent.apply(&[map_file(NOTHING, PAGE, &donated, Protection::READ)]).unwrap();
    let child = parent.fork().unwrap();
    let mut state = bed.state();
    assert_eq!(go(&*cx, &child, &mut state), Exit::Syscall);
    for space in [&parent, &child] {
        let proc = std::path::PathBuf::from(format!("/proc/{}", pid(space)));
        let fds: BTreeSet<_> = std::fs::read_dir(proc.join("fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(fds, BTreeSet::from(["0".into(), "1".into(), "2".into()]));
        let maps = std::fs::read_to_string(proc.join("maps")).unwrap();
        for line in maps.lines().filter(|line| !line.ends_with("[vsyscall]")) {
            let start = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
            let own = [CODE, NOTHING, layout::STUB, layout::ORDERS, layout::FRAMES];
            assert!(own.contains(&start), "{line}");
            let writable = line.split(' ').nth(1).unwrap().contains('w');
            assert_eq!(writable, start == layout::FRAMES, "{line}");
        }
        let mut own = vec![0; 8];
        assert_eq!(space.copy_in(UserAddr::new(layout::STUB), &mut own), 0);
    }
    assert!(stub::parked() < layout::CONSTANTS);
}

/// For the next test: a Sentry with spaces, to be killed. Prints their pids and waits.
#[test]
#[ignore = "run by the next test"]
fn a_sentry_that_waits_to_be_killed() {
    use std::io::{Read, Write};
    let bed = Bed::new(1);
    let cx = bed.platform.context(0).unwrap();
    let ran = bed.space(&Program::new().call(1).jump(0));
    let mut state = bed.state();
    assert_eq!(go(&*cx, &ran, &mut state), Exit::Syscall);
    let idle = ran.fork().unwrap();
    let fresh = bed.platform.new_space().unwrap();
    let pids = [&ran, &idle, &fresh].map(pid);
    writeln!(std::io::stderr(), "pids {} {} {}", pids[0], pids[1], pids[2]).unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn nothing_outlives_a_killed_sentry() {
    use std::io::{BufRead, BufReader};
    let mut sentry = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "attacks::a_sentry_that_waits_to_be_killed"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sentry.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line.starts_with("pids ")).unwrap();
    let pids: Vec<i32> = line.split(' ').skip(1).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    sentry.kill().unwrap();
    sentry.wait().unwrap();
    let start = Instant::now();
    // A zombie counts as gone: whoever inherited it will reap it.
    let lives = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains("stub) ") && !stat.contains("stub) Z") && !stat.contains("stub) X")
    };
    while pids.iter().any(|pid| lives(*pid)) {
        assert!(start.elapsed() < DEADLINE, "{pids:?}");
        std::thread::yield_now();
    }
}
