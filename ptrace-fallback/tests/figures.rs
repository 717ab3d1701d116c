//! What things cost: `cargo test --release -p ptrace-fallback --test figures -- --ignored
//! --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use host::MemoryObject;
use platform::{
    Change, Exit, Protection,
    conformance::{
        FREE_OFFSET, MEMORY_BYTES, NOTHING, PAGE, Program, Reg, TestBed, file, map, map_file, range,
    },
};
use ptrace_fallback::Ptrace;

/// The median of 301 runs of `body`, per `count`.
fn median(what: &str, count: u32, mut body: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..301).map(|_| body()).collect();
    times.sort_unstable();
    let median = times[times.len() / 2].as_nanos() as f64 / 1000.0 / f64::from(count);
    println!("{what}: {median:.2} us");
}

fn timed<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = body();
    (start.elapsed(), value)
}

#[test]
#[ignore = "measures"]
fn figures() {
    let memory = Arc::new(MemoryObject::new(MEMORY_BYTES).unwrap());
    let (time, platform) = timed(|| Ptrace::new(memory.clone(), 2).unwrap());
    println!("template: {time:?}");
    let bed = TestBed { platform, memory };
    let cx = bed.context(0);
    let program = Program::new().call(1).jump(0);
    let space = bed.space(&program);
    let mut state = bed.state();
    let (time, _) = timed(|| cx.switch(&space, &mut state).unwrap());
    println!("first switch ever: {time:?}");
    median("system call", 100, || {
        timed(|| {
            for _ in 0..100 {
                assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Syscall);
                state.regs.rax = 0;
            }
        })
        .0
    });
    let mut second = bed.state();
    median("system call, another task of the space each time", 100, || {
        timed(|| {
            for _ in 0..50 {
                cx.switch(&space, &mut state).unwrap();
                cx.switch(&space, &mut second).unwrap();
            }
        })
        .0
    });
    let other = space.fork().unwrap();
    let mut third = bed.state();
    median("system call, another space each time", 100, || {
        timed(|| {
            for _ in 0..50 {
                cx.switch(&space, &mut state).unwrap();
                cx.switch(&other, &mut third).unwrap();
            }
        })
        .0
    });
    for count in [1, 10, 60, 200] {
        let changes: Vec<Change> = (0..u64::from(count))
            .map(|i| map(NOTHING + 2 * i * PAGE, PAGE, FREE_OFFSET + i * PAGE, Protection::READ))
            .collect();
        median(&format!("map, {count} at once, each"), count, || {
            timed(|| space.apply(&changes).unwrap()).0
        });
        let all = range(NOTHING, 2 * u64::from(count) * PAGE);
        let mut write = false;
        median(&format!("protect {count} mappings at once, each"), count, || {
            write = !write;
            let protection = if write { Protection::READ_WRITE } else { Protection::READ };
            timed(|| space.apply(&[Change::Protect { range: all, protection }]).unwrap()).0
        });
    }
    let donated = file(PAGE);
    median("map a donated file", 1, || {
        timed(|| space.apply(&[map_file(NOTHING, PAGE, &donated, Protection::READ)]).unwrap()).0
    });
    let fault = bed.space(&Program::new().set(Reg::Rbx, NOTHING).load());
    let mut faulting = bed.state();
    median("page fault", 1, || timed(|| cx.switch(&fault, &mut faulting).unwrap()).0);
    median("page fault with its exact access", 1, || {
        timed(|| {
            cx.switch(&fault, &mut faulting).unwrap();
            cx.exact_access(&fault, &mut faulting).unwrap()
        })
        .0
    });
    let mut kept = None;
    median("new space", 1, || {
        let (time, space) = timed(|| bed.platform.new_space().unwrap());
        kept = Some(space);
        time
    });
    drop(kept);
    median("drop of a space", 1, || {
        let space = bed.platform.new_space().unwrap();
        timed(|| drop(space)).0
    });
    let small = bed.space(&program);
    median("fork of a space with 3 mappings", 1, || {
        let (time, space) = timed(|| small.fork().unwrap());
        drop(space);
        time
    });
    median("fork of a space with 203 mappings", 1, || {
        let (time, space) = timed(|| space.fork().unwrap());
        drop(space);
        time
    });
    median("first switch in a space", 1, || {
        let space = small.fork().unwrap();
        timed(|| cx.switch(&space, &mut state).unwrap()).0
    });
    median("drop of a space that ran", 1, || {
        let space = small.fork().unwrap();
        cx.switch(&space, &mut state).unwrap();
        timed(|| drop(space)).0
    });
    let mut buffer = [0; 4096];
    median("copy of 4096 bytes", 1, || {
        let at = abi::UserAddr::new(platform::conformance::DATA);
        timed(|| space.copy_in(at, &mut buffer)).0
    });
}
