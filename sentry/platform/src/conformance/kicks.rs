//! Kicks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{CODE, Program, TestBed, go};
use crate::Exit;

/// `jmp` to itself.
fn endless() -> Program {
    Program::new().jump(0)
}

/// From another thread, again and again.
pub fn an_endless_loop_is_interrupted(bed: &TestBed) {
    let space = bed.space(&endless());
    let cx = bed.context(0);
    let mut state = bed.state();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| bed.platform.kick(0));
            assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Interrupted);
        });
        assert_eq!(state.regs.rip, CODE);
    }
}

/// It is kept until there is something to end; several merge.
pub fn a_kick_before_the_switch_ends_it(bed: &TestBed) {
    let space = bed.space(&endless());
    let cx = bed.context(0);
    let mut state = bed.state();
    for _ in 0..100 {
        bed.platform.kick(0);
        bed.platform.kick(0);
        assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Interrupted);
    }
}

/// At random moments of a loop of calls and computing, in two spaces by turns: after each kick an
/// interruption follows, and neither calls nor registers are disturbed.
pub fn no_kick_is_lost(bed: &TestBed) {
    const KICKS: u64 = 3000;
    // r12 counts the calls; each must return what it was given plus one.
    let program = Program::new()
        .raw(&[0x4c, 0x89, 0xe7]) // mov rdi, r12
        .call(1)
        .raw(&[0x49, 0xff, 0xc4, 0x4c, 0x39, 0xe0]) // inc r12; cmp rax, r12
        .crash_unless_equal()
        .raw(&[0xb9, 200, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc]) // mov ecx, 200; 1: dec ecx; jnz 1b
        .jump(0);
    let spaces = [bed.space(&program), bed.space(&program)];
    let cx = bed.context(0);
    let mut states = [bed.state(), bed.state()];
    let mut calls = [0, 0];
    let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let (sent, answered) = (&sent, &answered);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut random = 88_172_645_463_325_252_u64;
            for kick in 1..=KICKS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let pause = Duration::from_nanos(random % 20_000);
                let start = Instant::now();
                while start.elapsed() < pause {
                    std::hint::spin_loop();
                }
                sent.store(kick, Ordering::SeqCst);
                bed.platform.kick(0);
                while answered.load(Ordering::SeqCst) < kick {
                    std::thread::yield_now();
                }
            }
        });
        let mut turn = 0;
        while answered.load(Ordering::SeqCst) < KICKS {
            let state = &mut states[turn];
            match cx.switch(&spaces[turn], state).unwrap() {
                Exit::Syscall => {
                    assert_eq!(state.regs.rdi, calls[turn]);
                    calls[turn] += 1;
                    state.regs.rax = calls[turn];
                }
                Exit::Interrupted => {
                    // All that were sent before are answered by this one.
                    answered.store(sent.load(Ordering::SeqCst), Ordering::SeqCst);
                }
                other => panic!("{other:?}"),
            }
            if calls[turn].is_multiple_of(3) {
                turn = 1 - turn;
            }
        }
    });
}

/// Executor 1 is kicked; executor 0 runs through.
pub fn a_kick_of_another_executor_does_not_count(bed: &TestBed) {
    let program = Program::new().call(1).jump(0);
    let space = bed.space(&program);
    let cx = bed.context(0);
    let mut state = bed.state();
    let mut interrupted = 0;
    for _ in 0..200 {
        bed.platform.kick(1);
        match cx.switch(&space, &mut state).unwrap() {
            Exit::Interrupted => interrupted += 1,
            exit => assert_eq!(exit, Exit::Syscall),
        }
    }
    // It may happen without cause, but not as a rule.
    assert!(interrupted < 20, "{interrupted}");
    bed.platform.kick(usize::MAX);
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
}
