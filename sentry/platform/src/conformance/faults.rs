//! Page faults: address, access, cause.

use abi::UserAddr;

use super::{
    CODE, DATA, FREE_OFFSET, NOTHING, PAGE, Program, Reg, STACK, TestBed, file, go, map, map_file,
};
use crate::{Access, Exit, Protection};

/// Runs `program` up to its fault at `addr` and asks for the exact access.
fn check(bed: &TestBed, cx: &dyn crate::Context, program: &Program, addr: u64, wanted: Access) {
    let space = bed.space(program);
    let read = map(NOTHING + PAGE, PAGE, FREE_OFFSET, Protection::READ);
    let write = map(NOTHING + 3 * PAGE, PAGE, FREE_OFFSET, Protection::READ_WRITE);
    space.apply(&[read, write]).unwrap();
    let mut state = bed.state();
    let exit = go(cx, &space, &mut state);
    let Exit::Fault { addr: at, access, beyond_end } = exit else {
        panic!("{program:x?}: {exit:?}");
    };
    assert_eq!((at, beyond_end), (UserAddr::new(addr), false), "{program:x?}");
    let exact = bed.platform.exact_faults();
    assert!(access == wanted || (!exact && access == Access::Unknown), "{program:x?}: {access:?}");
    let before = state.regs;
    assert_eq!(cx.exact_access(&space, &mut state).unwrap(), wanted, "{program:x?}");
    assert_eq!(state.regs, before);
    // It can be met again.
    assert_eq!(go(cx, &space, &mut state), exit);
}

/// Loads, stores, fetches of what is not mapped.
pub fn absent_pages_fault_with_address_and_access(bed: &TestBed) {
    let at = |addr| Program::new().set(Reg::Rbx, addr);
    let cx = bed.context(0);
    let cx = &*cx;
    check(bed, cx, &at(NOTHING + 8).load(), NOTHING + 8, Access::Read);
    check(bed, cx, &at(NOTHING + 8).store(), NOTHING + 8, Access::Write);
    check(bed, cx, &at(NOTHING + 8).increment(), NOTHING + 8, Access::Write);
    check(bed, cx, &at(NOTHING).jump_rbx(), NOTHING, Access::Execute);
    check(bed, cx, &at(0).load(), 0, Access::Read);
    // push
    let push = Program::new().set(Reg::Rsp, NOTHING + 16).raw(&[0x50]);
    check(bed, cx, &push, NOTHING + 8, Access::Write);
    // pop
    let pop = Program::new().set(Reg::Rsp, NOTHING + 16).raw(&[0x58]);
    check(bed, cx, &pop, NOTHING + 16, Access::Read);
    // lock cmpxchg [rbx], rcx that would not store
    let exchange = at(NOTHING).raw(&[0xf0, 0x48, 0x0f, 0xb1, 0x0b]);
    check(bed, cx, &exchange, NOTHING, Access::Write);
    // An instruction that crosses into an absent page: the fetch of its second half.
    let crossing = Program::new().jump(PAGE - 1).pad(PAGE - 1).raw(&[0x48]);
    check(bed, cx, &crossing, CODE + PAGE, Access::Execute);
    // A load that crosses: the second page is what is missing.
    check(bed, cx, &at(DATA + PAGE - 4).load(), DATA + PAGE, Access::Read);
}

/// Stores to read-only pages, fetches from others.
pub fn forbidden_accesses_fault_with_address_and_access(bed: &TestBed) {
    let at = |addr| Program::new().set(Reg::Rbx, addr);
    let cx = bed.context(0);
    let cx = &*cx;
    check(bed, cx, &at(NOTHING + PAGE + 8).store(), NOTHING + PAGE + 8, Access::Write);
    check(bed, cx, &at(NOTHING + PAGE).increment(), NOTHING + PAGE, Access::Write);
    check(bed, cx, &at(NOTHING + PAGE).jump_rbx(), NOTHING + PAGE, Access::Execute);
    check(bed, cx, &at(NOTHING + 3 * PAGE).jump_rbx(), NOTHING + 3 * PAGE, Access::Execute);
    check(bed, cx, &at(CODE).store(), CODE, Access::Write);
    // A store to the very instruction that stores.
    check(bed, cx, &at(CODE + 10).store(), CODE + 10, Access::Write);
    // rep stosq to a read-only page
    let fill = Program::new().set(Reg::Rdi, NOTHING + PAGE).set(Reg::Rcx, 4);
    check(bed, cx, &fill.raw(&[0xf3, 0x48, 0xab]), NOTHING + PAGE, Access::Write);
}

/// The executor has run something else before it asks.
pub fn the_exact_access_survives_other_tasks_in_between(bed: &TestBed) {
    let program = Program::new().set(Reg::Rbx, NOTHING).store().pad(64).call(7);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let (mut faulting, mut other) = (bed.state(), bed.state());
    other.regs.rip = CODE + 64;
    assert!(matches!(go(&*cx, &space, &mut faulting), Exit::Fault { .. }));
    let before = faulting.regs;
    assert_eq!(go(&*cx, &space, &mut other), Exit::Syscall);
    assert_eq!(cx.exact_access(&space, &mut faulting).unwrap(), Access::Write);
    assert_eq!(faulting.regs, before);
    // The page has appeared meanwhile: either answer of the contract, and the thread goes on.
    space.apply(&[map(NOTHING, PAGE, FREE_OFFSET, Protection::READ_WRITE)]).unwrap();
    let access = cx.exact_access(&space, &mut faulting).unwrap();
    assert!(matches!(access, Access::Read | Access::Unknown), "{access:?}");
}

/// A file mapping whose file was cut.
pub fn access_beyond_the_end_of_a_file_says_so(bed: &TestBed) {
    let file = file(2 * PAGE);
    let program = Program::new().set(Reg::Rbx, NOTHING + PAGE).load().store().call(1);
    let (exit, mut state, space, cx) =
        bed.first_stop_in(&program, &[map_file(NOTHING, 2 * PAGE, &file, Protection::READ_WRITE)]);
    assert_eq!(exit, Exit::Syscall);
    for (rip, kind) in [(CODE + 10, Access::Read), (CODE + 13, Access::Write)] {
        file.truncate(PAGE).unwrap();
        state.regs.rip = rip;
        let exit = go(&*cx, &space, &mut state);
        let Exit::Fault { addr, access, beyond_end: true } = exit else { panic!("{exit:?}") };
        assert_eq!(addr, UserAddr::new(NOTHING + PAGE));
        assert!(access == kind || access == Access::Unknown);
        assert_eq!(cx.exact_access(&space, &mut state).unwrap(), kind);
        file.truncate(2 * PAGE).unwrap();
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    }
}

/// Demand paging: each fault is answered by one page, the program never notices.
pub fn a_fault_answered_by_a_mapping_goes_on(bed: &TestBed) {
    // rbx walks up, page by page, storing its own address and checking it.
    let program = Program::new()
        .set(Reg::Rbx, NOTHING)
        .raw(&[0x48, 0x89, 0x1b, 0x48, 0x3b, 0x1b])
        .crash_unless_equal()
        .raw(&[0x48, 0x81, 0xc3, 0, 0x10, 0, 0])
        .jump(10);
    let cx = bed.context(0);
    let space = bed.space(&program);
    let mut state = bed.state();
    for i in 0..200 {
        let addr = NOTHING + i * PAGE;
        match go(&*cx, &space, &mut state) {
            Exit::Fault { addr: at, .. } => assert_eq!(at, UserAddr::new(addr)),
            other => panic!("{other:?}"),
        }
        let page = map(addr, PAGE, FREE_OFFSET + i * PAGE, Protection::READ_WRITE);
        space.apply(&[page]).unwrap();
    }
    assert_eq!(state.regs.rsp, STACK + PAGE);
    let mut last = [0; 8];
    bed.memory.read(FREE_OFFSET + 198 * PAGE, &mut last);
    assert_eq!(u64::from_le_bytes(last), NOTHING + 198 * PAGE);
}
