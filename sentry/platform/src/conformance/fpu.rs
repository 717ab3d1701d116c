//! x87, SSE and AVX registers belong to the task.

use abi::FpuState;

use super::{CODE, FREE_OFFSET, NOTHING, PAGE, Program, Reg, TestBed, go, map};
use crate::{Exit, Protection, UserState};

/// Loads the value of rbx into xmm15, the upper half of ymm15 (where there is one) and the x87
/// stack, then calls for ever, checking all three behind each call.
fn keeper() -> Program {
    let avx = std::arch::is_x86_feature_detected!("avx");
    let mut program = Program::new()
        .raw(&[0x66, 0x4c, 0x0f, 0x6e, 0xfb]) // movq xmm15, rbx
        .raw(&[0x53, 0xdb, 0xe3, 0xdf, 0x2c, 0x24, 0x5a]); // push rbx; fninit; fild [rsp]; pop rdx
    if avx {
        // vinsertf128 ymm15, ymm15, xmm15, 1
        program = program.raw(&[0xc4, 0x43, 0x05, 0x18, 0xff, 0x01]);
    }
    let again = program.here();
    program = program
        .call(1)
        .raw(&[0x66, 0x4c, 0x0f, 0x7e, 0xf8, 0x48, 0x39, 0xd8]) // movq rax, xmm15; cmp rax, rbx
        .crash_unless_equal();
    if avx {
        // vextractf128 xmm1, ymm15, 1; vmovq rax, xmm1; cmp rax, rbx
        program = program
            .raw(&[0xc4, 0x63, 0x7d, 0x19, 0xf9, 0x01, 0xc4, 0xe1, 0xf9, 0x7e, 0xc8])
            .raw(&[0x48, 0x39, 0xd8])
            .crash_unless_equal();
    }
    // fld st0; push rdx; fistp qword [rsp]; pop rax; cmp rax, rbx
    program
        .raw(&[0xd9, 0xc0, 0x52, 0xdf, 0x3c, 0x24, 0x58, 0x48, 0x39, 0xd8])
        .crash_unless_equal()
        .jump(again)
}

/// A thread of [`keeper`] that keeps `value`.
fn task(bed: &TestBed, value: u64) -> UserState {
    let mut state = bed.state();
    state.regs.rbx = value;
    state
}

/// Two tasks of one space and one of another, on one executor.
pub fn registers_survive_other_tasks(bed: &TestBed) {
    let program = keeper();
    let cx = bed.context(0);
    let (space, other) = (bed.space(&program), bed.space(&program));
    let mut tasks = [task(bed, 111), task(bed, 222), task(bed, 333)];
    for _ in 0..50 {
        for (i, state) in tasks.iter_mut().enumerate() {
            let space = if i == 2 { &other } else { &space };
            assert_eq!(go(&*cx, space, state), Exit::Syscall);
        }
    }
}

/// As many as an ordinary server has.
pub fn a_thousand_tasks_keep_theirs(bed: &TestBed) {
    let program = keeper();
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut tasks: Vec<UserState> = (0..1000).map(|i| task(bed, 1_000_000 + i)).collect();
    for _ in 0..3 {
        for state in &mut tasks {
            assert_eq!(go(&*cx, &space, state), Exit::Syscall);
        }
    }
}

/// By `save_fpu`, to and fro.
pub fn registers_move_to_another_executor(bed: &TestBed) {
    let program = keeper();
    let space = bed.space(&program);
    let mut state = task(bed, 4444);
    let mut other = task(bed, 5555);
    let (to_second, second) = std::sync::mpsc::channel::<UserState>();
    let (to_first, first) = std::sync::mpsc::channel::<UserState>();
    std::thread::scope(|scope| {
        let space = &space;
        scope.spawn(move || {
            let cx = bed.context(1);
            for mut state in second {
                assert_eq!(go(&*cx, space, &mut state), Exit::Syscall);
                cx.save_fpu(&mut state).unwrap();
                to_first.send(state).unwrap();
            }
        });
        let cx = bed.context(0);
        for round in 0..50 {
            assert_eq!(go(&*cx, space, &mut state), Exit::Syscall);
            if round % 2 == 0 {
                assert_eq!(go(&*cx, space, &mut other), Exit::Syscall);
            }
            cx.save_fpu(&mut state).unwrap();
            to_second.send(state).unwrap();
            state = first.recv().unwrap();
        }
        drop(to_second);
    });
}

/// A state may be switched in another space, as after exec, and takes its registers along.
pub fn registers_move_to_another_space(bed: &TestBed) {
    let program = keeper();
    let cx = bed.context(0);
    let spaces = [bed.space(&program), bed.space(&program)];
    let mut states = [task(bed, 777), task(bed, 888)];
    for round in 0..20 {
        for state in &mut states {
            assert_eq!(go(&*cx, &spaces[round / 2 % 2], state), Exit::Syscall);
        }
    }
}

/// Where xmm15 lies in an image (SDM vol. 1, 10.5.1).
const XMM15: usize = 160 + 15 * 16;

/// What signal frames and checkpoints need.
pub fn a_saved_image_is_exact_and_a_changed_one_is_used(bed: &TestBed) {
    let program = keeper();
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = task(bed, 0x1234_5678);
    for _ in 0..2 {
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        cx.save_fpu(&mut state).unwrap();
        assert_eq!(state.fpu.as_bytes()[XMM15..XMM15 + 8], 0x1234_5678_u64.to_le_bytes());
    }
    // A copy of it is another thread with the same registers, as after clone.
    let mut copy = UserState::new(state.regs, state.fpu.clone());
    assert_eq!(go(&*cx, &space, &mut copy), Exit::Syscall);
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    state.fpu = FpuState::initial(bed.platform.fpu_size_bytes());
    state.fpu_changed = true;
    assert_eq!(go(&*cx, &space, &mut state), Exit::Trap { vector: 6, code: 0 });
    assert!(!state.fpu_changed);
    assert_eq!(state.regs.rax, 0);
    assert_eq!(go(&*cx, &space, &mut copy), Exit::Syscall);
}

/// A signal frame's image is the application's own.
pub fn no_image_breaks_the_switch(bed: &TestBed) {
    let program = Program::new().call(1).jump(0);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let size = bed.platform.fpu_size_bytes();
    for (i, byte) in [0xff, 0x80, 0x01, 0x55].into_iter().enumerate() {
        let mut state = bed.state();
        state.fpu.as_bytes_mut().fill(byte);
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall, "{i}");
        cx.save_fpu(&mut state).unwrap();
        assert_eq!(state.fpu.as_bytes().len(), size);
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall, "{i}");
    }
    let mut short = UserState::new(bed.state().regs, FpuState::default());
    assert_eq!(go(&*cx, &space, &mut short), Exit::Syscall);
}

/// Also those whose cause is found out by detours.
pub fn faults_and_traps_keep_the_registers(bed: &TestBed) {
    let program = keeper();
    // Behind the keeper's code: a load, a #GP.
    let load = program.here();
    let program = program.set(Reg::Rcx, NOTHING).raw(&[0x48, 0x8b, 0x11]).call(2);
    let trap = program.here();
    let program = program.raw(&[0xf4]);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = task(bed, 999);
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    let keeping = state.regs.rip;
    for _ in 0..3 {
        state.regs.rip = CODE + load;
        assert!(matches!(go(&*cx, &space, &mut state), Exit::Fault { .. }));
        cx.exact_access(&space, &mut state).unwrap();
        state.regs.rip = CODE + trap;
        assert_eq!(go(&*cx, &space, &mut state), Exit::Trap { vector: 13, code: 0 });
        state.regs.rip = keeping;
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    }
    space.apply(&[map(NOTHING, PAGE, FREE_OFFSET, Protection::READ)]).unwrap();
    state.regs.rip = CODE + load;
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
}
