//! Single steps.

use super::{CODE, Program, TestBed, go};
use crate::Exit;

const STEPPED: Exit = Exit::Trap { vector: 1, code: 0 };

/// One instruction per switch, and TF is never seen by the program.
pub fn single_steps_stop_after_each_instruction(bed: &TestBed) {
    // nop; nop; pushf; pop rax; nop
    let program = Program::new().raw(&[0x90, 0x90, 0x9c, 0x58, 0x90]).call(1);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = bed.state();
    state.single_step = true;
    for behind in 1..=5 {
        assert_eq!(go(&*cx, &space, &mut state), STEPPED);
        assert_eq!(state.regs.rip, CODE + behind);
        assert_eq!(state.regs.eflags & 0x100, 0);
    }
    state.single_step = false;
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
}

/// As on Linux, where the step over `syscall` ends behind it, when the call is done.
pub fn a_step_over_a_system_call_traps_behind_it(bed: &TestBed) {
    let program = Program::new().call(1).raw(&[0x90]).call(2);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = bed.state();
    state.single_step = true;
    assert_eq!(go(&*cx, &space, &mut state), STEPPED);
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    assert_eq!((state.regs.orig_rax, state.regs.rip), (1, CODE + 7));
    state.regs.rax = 0;
    assert_eq!(go(&*cx, &space, &mut state), STEPPED);
    assert_eq!(state.regs.rip, CODE + 7);
    assert_eq!(go(&*cx, &space, &mut state), STEPPED);
    assert_eq!(state.regs.rip, CODE + 8);
    state.single_step = false;
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    assert_eq!(state.regs.orig_rax, 2);
}
