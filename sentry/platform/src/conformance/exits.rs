//! System calls and exceptions.

use abi::UserAddr;

use super::{CODE, DATA, DATA_OFFSET, PAGE, Program, Reg, STACK, TestBed, go};
use crate::{Access, Exit};

/// All six arguments, the number, and the place behind the instruction.
pub fn a_system_call_shows_its_number_and_arguments(bed: &TestBed) {
    let program = Program::new()
        .set(Reg::Rdi, 1)
        .set(Reg::Rsi, u64::MAX)
        .set(Reg::Rdx, 3)
        .set(Reg::R10, 0x8000_0000_0000_0000)
        .set(Reg::R8, 5)
        .set(Reg::R9, 6)
        .set(Reg::R15, 0x1515)
        .call(0x1234);
    let (exit, state) = bed.first_stop(&program);
    assert_eq!(exit, Exit::Syscall);
    assert_eq!(state.regs.orig_rax, 0x1234);
    assert_eq!(state.regs.syscall_args(), [1, u64::MAX, 3, 1 << 63, 5, 6]);
    assert_eq!(state.regs.rip, CODE + program.here());
    assert_eq!(state.regs.r15, 0x1515);
    assert_eq!(state.regs.rsp, STACK + PAGE);
}

/// rax and every other register that the kernel sets, over many calls.
pub fn the_result_of_a_system_call_is_seen(bed: &TestBed) {
    let program = Program::new();
    // The next call's number is what the last returned.
    let program = program.raw(&[0x0f, 0x05]).raw(&[0x48, 0x89, 0xd3]).jump(0);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = bed.state();
    for i in 0..1000 {
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        assert_eq!(state.regs.orig_rax, i);
        assert_eq!(state.regs.rbx, i * 7);
        state.regs.rax = i + 1;
        state.regs.rdx = (i + 1) * 7;
    }
}

/// `int 0x80`, also with rcx and r11 as `syscall` would leave them.
pub fn a_32_bit_system_call_is_told_apart(bed: &TestBed) {
    let plain = Program::new().raw(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80]);
    let forged = Program::new().set(Reg::R11, 0x202);
    let end = CODE + forged.here() + 10 + 2;
    let forged = forged.set(Reg::Rcx, end).raw(&[0xcd, 0x80]);
    let cx = bed.context(0);
    for program in [plain, forged] {
        let space = bed.space(&program);
        let mut state = bed.state();
        let exit = go(&*cx, &space, &mut state);
        // A platform may have no such gate at all.
        let refused = matches!(exit, Exit::Trap { vector: 13, .. });
        assert!(exit == Exit::Syscall32 || refused, "{exit:?}");
    }
}

/// `sysenter`, with the stack pointer for the kernel good and bad.
pub fn sysenter_is_not_served(bed: &TestBed) {
    let cx = bed.context(0);
    for stack in [STACK + 64, 0] {
        let program = Program::new().set(Reg::Rbp, stack).set(Reg::Rax, 20).raw(&[0x0f, 0x34]);
        let space = bed.space(&program);
        let mut state = bed.state();
        let exit = go(&*cx, &space, &mut state);
        let refused = matches!(exit, Exit::Syscall32 | Exit::Trap { vector: 6 | 13, .. });
        assert!(refused, "{exit:?}");
        // The space is none the worse.
        state.regs = bed.state().regs;
        state.single_step = true;
        assert_eq!(go(&*cx, &space, &mut state), Exit::Trap { vector: 1, code: 0 });
    }
}

/// The vectors of the contract that a program can raise by itself.
pub fn every_exception_has_its_vector(bed: &TestBed) {
    let noncanonical = Program::new().set(Reg::Rbx, 1 << 63).load();
    let bad_stack = Program::new().set(Reg::Rsp, 1 << 63).raw(&[0x50]);
    // pushf; or qword [rsp], AC; popf; then an odd load
    let misaligned = Program::new()
        .set(Reg::Rbx, DATA + 1)
        .raw(&[0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d])
        .load();
    // pushf; or qword [rsp], TF; popf; nop
    let traced = Program::new().raw(&[0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90]);
    // fninit; push 0x37b; fldcw [rsp] (divide unmasked); fld1; fldz; fdivp; fwait
    let x87 = Program::new().raw(&[
        0xdb, 0xe3, 0x68, 0x7b, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b,
    ]);
    // push 0x1d80; ldmxcsr [rsp] (divide unmasked); xorps xmm0, xmm0; push 1.0f; movss xmm1;
    // divss xmm1, xmm0
    let simd = Program::new().raw(&[
        0x68, 0x80, 0x1d, 0, 0, 0x0f, 0xae, 0x14, 0x24, 0x0f, 0x57, 0xc0, 0x68, 0, 0, 0x80, 0x3f,
        0xf3, 0x0f, 0x10, 0x0c, 0x24, 0xf3, 0x0f, 0x5e, 0xc8,
    ]);
    let cases = [
        (0, Program::new().raw(&[0x31, 0xc9, 0x31, 0xd2, 0xf7, 0xf1])),
        (1, Program::new().raw(&[0xf1])),
        (1, traced),
        (3, Program::new().raw(&[0xcc])),
        (3, Program::new().raw(&[0xcd, 0x03])),
        (4, Program::new().raw(&[0xcd, 0x04])),
        (6, Program::new().crash()),
        (12, bad_stack),
        (13, Program::new().raw(&[0xf4])),
        (13, Program::new().raw(&[0xfa])),
        (13, noncanonical),
        (16, x87),
        (17, misaligned),
        (19, simd),
    ];
    let cx = bed.context(0);
    for (wanted, program) in cases {
        let space = bed.space(&program);
        let mut state = bed.state();
        match go(&*cx, &space, &mut state) {
            Exit::Trap { vector, .. } => assert_eq!(vector, wanted, "{program:x?}"),
            other => panic!("{program:x?}: {other:?} instead of trap {wanted}"),
        }
    }
}

/// A thread that crashed and one in the same space that did not.
pub fn a_stop_of_one_thread_leaves_the_others_alone(bed: &TestBed) {
    let crash = Program::new().call(1).crash();
    let program = crash.pad(64).call(2).call(3);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let (mut first, mut second) = (bed.state(), bed.state());
    second.regs.rip = CODE + 64;
    assert_eq!(go(&*cx, &space, &mut first), Exit::Syscall);
    assert_eq!(go(&*cx, &space, &mut second), Exit::Syscall);
    assert_eq!(go(&*cx, &space, &mut first), Exit::Trap { vector: 6, code: 0 });
    assert_eq!(go(&*cx, &space, &mut second), Exit::Syscall);
    assert_eq!(second.regs.orig_rax, 3);
}

/// The host may have code there that gives its own time away.
pub fn the_vsyscall_page_is_not_there(bed: &TestBed) {
    const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
    let cx = bed.context(0);
    for function in [0, 0x400, 0x800, 0xc00, 3] {
        let program = Program::new()
            .set(Reg::Rdi, DATA)
            .set(Reg::Rsi, 0)
            .set(Reg::Rbx, VSYSCALL + function)
            // call rbx
            .raw(&[0xff, 0xd3])
            .call(1);
        bed.memory.write(DATA_OFFSET, &[0; 64]);
        let space = bed.space(&program);
        let mut state = bed.state();
        let addr = UserAddr::new(VSYSCALL + function);
        let wanted = Exit::Fault { addr, access: Access::Execute, beyond_end: false };
        assert_eq!(go(&*cx, &space, &mut state), wanted);
        assert_eq!(state.regs.rip, addr.get());
        assert_eq!(state.regs.rsp, STACK + PAGE - 8);
        let mut written = [1; 64];
        bed.memory.read(DATA_OFFSET, &mut written);
        assert_eq!(written, [0; 64], "the host's time");
    }
}

/// A far return into the 32-bit code segment fails, or at least never gets beyond the next stop.
pub fn thirty_two_bit_code_never_runs_on(bed: &TestBed) {
    // push 0x23; push target; retfq; target: ud2
    let program = Program::new().raw(&[0x6a, 0x23]).set(Reg::Rax, CODE + 64).raw(&[0x50]);
    let program = program.raw(&[0x48, 0xcb]).pad(64).crash();
    let (exit, _) = bed.first_stop(&program);
    assert!(matches!(exit, Exit::Trap { vector: 13, .. }), "{exit:?}");
}
