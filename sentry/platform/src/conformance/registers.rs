//! Hostile register values.

use abi::{Registers, UserAddr};

use super::{CODE, Program, TestBed, go};
use crate::{Exit, UserState};

/// One register and a value that no kernel would hand out.
type Case = (&'static str, fn(&mut Registers));

/// Whatever is in the registers, a switch ends, and the next one with sane ones works.
pub fn no_register_value_breaks_the_switch(bed: &TestBed) {
    let cases: [Case; 18] = [
        ("cs of 32-bit code", |regs| regs.cs = 0x23),
        ("cs of the kernel", |regs| regs.cs = 0x10),
        ("cs null", |regs| regs.cs = 0),
        ("cs of nothing", |regs| regs.cs = u64::MAX),
        ("ss null", |regs| regs.ss = 0),
        ("ss of the kernel", |regs| regs.ss = 0x18),
        ("ds of the kernel", |regs| regs.ds = 0x18),
        ("es of no descriptor", |regs| regs.es = 0xfffb),
        ("fs of the LDT", |regs| regs.fs = 7),
        ("gs of no descriptor", |regs| regs.gs = 0xffff_ffff),
        ("fs base in the kernel", |regs| regs.fs_base = 0xffff_8000_0000_0000),
        ("fs base not canonical", |regs| regs.fs_base = 1 << 63),
        ("gs base at the end", |regs| regs.gs_base = 0x7fff_ffff_f000),
        ("gs base", |regs| regs.gs_base = 0x7fff_0000_0000),
        ("flags all ones but TF", |regs| regs.eflags = !0x100),
        ("flags none", |regs| regs.eflags = 0),
        ("orig_rax", |regs| regs.orig_rax = 60),
        ("rsp", |regs| regs.rsp = u64::MAX),
    ];
    let program = Program::new().call(9).call(10);
    let cx = bed.context(0);
    let space = bed.space(&program);
    for (name, spoil) in cases {
        let mut state = bed.state();
        state.regs.r15 = 0x1515;
        state.regs.gs_base = 0x1000;
        spoil(&mut state.regs);
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall, "{name}");
        assert_eq!((state.regs.orig_rax, state.regs.r15), (9, 0x1515), "{name}");
        sane(&mut state);
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall, "{name}");
        assert_eq!(state.regs.orig_rax, 10, "{name}");
        assert_eq!((state.regs.fs_base, state.regs.gs_base), (0x2000, 0x3000), "{name}");
    }
}

fn sane(state: &mut UserState) {
    let fresh = Registers::for_exec(state.regs.rip, state.regs.rsp);
    state.regs = Registers { fs_base: 0x2000, gs_base: 0x3000, ..fresh };
}

/// Set by the kernel, or reached by the program itself.
pub fn instruction_pointers_outside_user_space_are_faults(bed: &TestBed) {
    let cx = bed.context(0);
    let program = Program::new().jump_rbx();
    let space = bed.space(&program);
    for rip in [1 << 47, 1 << 63, u64::MAX >> 1, 0xffff_7fff_ffff_ffff] {
        for jump in [false, true] {
            let mut state = bed.state();
            state.regs.rip = if jump { CODE } else { rip };
            state.regs.rbx = rip;
            let exit = go(&*cx, &space, &mut state);
            assert!(matches!(exit, Exit::Trap { vector: 13, .. }), "{rip:#x}: {exit:?}");
        }
    }
    for rip in [0xffff_8000_0000_0000, 0xffff_ffff_8100_0000, 0x7fff_ffff_f000, 0x7f00_0000_0000] {
        for jump in [false, true] {
            let mut state = bed.state();
            state.regs.rip = if jump { CODE } else { rip };
            state.regs.rbx = rip;
            match go(&*cx, &space, &mut state) {
                Exit::Fault { addr, .. } => assert_eq!(addr, UserAddr::new(rip)),
                other => panic!("{rip:#x}: {other:?}"),
            }
        }
    }
}

/// The host's own kernel restarts calls by such results; it must never do so here.
pub fn no_result_restarts_a_call(bed: &TestBed) {
    let program = Program::new().call(35).call(36);
    let cx = bed.context(0);
    let space = bed.space(&program);
    for result in 512..=516_i64 {
        let mut state = bed.state();
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        let behind = state.regs.rip;
        state.regs.rax = (-result).cast_unsigned();
        bed.platform.kick(0);
        assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Interrupted);
        assert_eq!(state.regs.rip, behind);
        assert_eq!(state.regs.rax, (-result).cast_unsigned());
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        assert_eq!(state.regs.orig_rax, 36);
    }
}
