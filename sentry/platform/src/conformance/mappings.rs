//! What code sees of mappings, and when it stops seeing it.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicBool, Ordering},
};

use abi::UserAddr;

use super::{
    CODE, DATA, FREE_OFFSET, NOTHING, PAGE, Program, Reg, TestBed, file, go, map, map_file, range,
};
use crate::{AddressSpace, Backing, Change, Exit, Protection, UserState};

fn load_at(program: Program, addr: u64) -> Program {
    program.set(Reg::Rbx, addr).load().call(1)
}

/// Over a memory mapping, over a file, over a part.
pub fn a_mapping_replaces_what_was_there(bed: &TestBed) {
    let program = load_at(load_at(Program::new(), NOTHING + PAGE), NOTHING + PAGE);
    let file = file(PAGE);
    file.write_at(&11_u64.to_le_bytes(), 0).unwrap();
    bed.memory.write(FREE_OFFSET + PAGE, &22_u64.to_le_bytes());
    bed.memory.write(FREE_OFFSET + 8 * PAGE, &33_u64.to_le_bytes());
    let cx = bed.context(0);
    let space = bed.space(&program);
    let whole = map(NOTHING, 3 * PAGE, FREE_OFFSET, Protection::READ_WRITE);
    let by_file = map_file(NOTHING + PAGE, PAGE, &file, Protection::READ);
    let by_memory = map(NOTHING + PAGE, PAGE, FREE_OFFSET + 8 * PAGE, Protection::READ);
    for (change, wanted) in [(whole, 22), (by_file, 11), (by_memory, 33)] {
        space.apply(&[change]).unwrap();
        let mut state = bed.state();
        // orig_rax is the number of the call; the loaded value was in rax: keep it in rdx.
        assert_eq!(value(bed, &*cx, &space, &mut state), wanted);
    }
    let mut back = [0; 8];
    assert_eq!(space.copy_in(UserAddr::new(NOTHING + 2 * PAGE), &mut back), 8);
}

/// Runs a load of [`load_at`] by single steps and returns what it loaded.
fn value(
    _bed: &TestBed,
    cx: &dyn crate::Context,
    space: &Arc<dyn AddressSpace>,
    state: &mut UserState,
) -> u64 {
    state.single_step = true;
    for _ in 0..2 {
        assert_eq!(go(cx, space, state), Exit::Trap { vector: 1, code: 0 });
    }
    state.single_step = false;
    let value = state.regs.rax;
    assert_eq!(go(cx, space, state), Exit::Syscall);
    value
}

/// More changes than any platform takes at once.
pub fn thousands_of_mappings_in_one_batch(bed: &TestBed) {
    const COUNT: u64 = 2000;
    // rbx += 2 pages each round; rax = [rbx]; call
    let program = Program::new()
        .set(Reg::Rbx, NOTHING)
        .raw(&[0x48, 0x8b, 0x13])
        .call(1)
        .raw(&[0x48, 0x81, 0xc3, 0, 0x20, 0, 0])
        .jump(10);
    let changes: Vec<Change> = (0..COUNT)
        .map(|i| {
            let offset = FREE_OFFSET + (i % 100) * PAGE;
            bed.memory.write(offset, &(i % 100).to_le_bytes());
            let protection = if i % 3 == 0 { Protection::READ } else { Protection::READ_WRITE };
            map(NOTHING + 2 * i * PAGE, PAGE, offset, protection)
        })
        .collect();
    let cx = bed.context(0);
    let space = bed.space(&program);
    space.apply(&changes).unwrap();
    let mut state = bed.state();
    for i in 0..COUNT {
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        assert_eq!(state.regs.rdx, i % 100);
    }
    // Protect over all of it, holes included, then remove a part.
    let all = range(NOTHING, 2 * COUNT * PAGE);
    space.apply(&[Change::Protect { range: all, protection: Protection::READ }]).unwrap();
    assert_eq!(space.copy_out(UserAddr::new(NOTHING + 2 * PAGE), &[1]), 0);
    space.apply(&[Change::Unmap { range: range(NOTHING, COUNT * PAGE) }]).unwrap();
    let mut byte = [0];
    assert_eq!(space.copy_in(UserAddr::new(NOTHING), &mut byte), 0);
    assert_eq!(space.copy_in(UserAddr::new(NOTHING + COUNT * PAGE), &mut byte), 1);
}

/// Each file in its own place.
pub fn many_files_in_one_batch(bed: &TestBed) {
    const COUNT: u64 = 70;
    let program = Program::new()
        .set(Reg::Rbx, NOTHING)
        .raw(&[0x48, 0x8b, 0x13])
        .call(1)
        .raw(&[0x48, 0x81, 0xc3, 0, 0x10, 0, 0])
        .jump(10);
    let mut changes = Vec::new();
    for i in 0..COUNT {
        let file = file(2 * PAGE);
        file.write_at(&i.to_le_bytes(), PAGE).unwrap();
        let backing = Backing::File { file, offset: PAGE };
        let range = range(NOTHING + i * PAGE, PAGE);
        changes.push(Change::Map { range, backing, protection: Protection::READ });
    }
    let cx = bed.context(0);
    let space = bed.space(&program);
    space.apply(&changes).unwrap();
    let mut state = bed.state();
    for i in 0..COUNT {
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        assert_eq!(state.regs.rdx, i);
    }
}

/// And what is written to the file is seen through the mapping.
pub fn stores_to_a_file_mapping_are_in_the_file(bed: &TestBed) {
    let file = file(PAGE);
    let program = Program::new()
        .set(Reg::Rbx, NOTHING)
        .set(Reg::Rax, 0x1122_3344)
        .store()
        .call(1)
        .raw(&[0x48, 0x8b, 0x13])
        .call(2);
    let (exit, mut state, space, cx) =
        bed.first_stop_in(&program, &[map_file(NOTHING, PAGE, &file, Protection::READ_WRITE)]);
    assert_eq!(exit, Exit::Syscall);
    let mut word = [0; 8];
    file.read_at(&mut word, 0).unwrap();
    assert_eq!(u64::from_le_bytes(word), 0x1122_3344);
    file.write_at(&5_u64.to_le_bytes(), 0).unwrap();
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
    assert_eq!(state.regs.rdx, 5);
}

/// An executor that counts in a page which another takes away.
fn take_away(bed: &TestBed, change: &Change, wanted: &[crate::Access]) {
    const ROUNDS: u64 = 100;
    let program = Program::new().set(Reg::Rbx, NOTHING).increment().jump(10);
    let space = bed.space(&program);
    let page = map(NOTHING, PAGE, FREE_OFFSET, Protection::READ_WRITE);
    space.apply(std::slice::from_ref(&page)).unwrap();
    let ready = AtomicBool::new(true);
    let counter = || u64::from(bed.memory.load_u32(FREE_OFFSET));
    std::thread::scope(|scope| {
        let (space, ready) = (&space, &ready);
        scope.spawn(move || {
            let cx = bed.context(1);
            let mut state = bed.state();
            for _ in 0..ROUNDS {
                let exit = go(&*cx, space, &mut state);
                let Exit::Fault { addr, access, beyond_end: false } = exit else {
                    panic!("{exit:?}");
                };
                assert_eq!(addr, UserAddr::new(NOTHING));
                assert!(access == crate::Access::Unknown || wanted.contains(&access));
                ready.store(true, Ordering::SeqCst);
                while ready.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            }
        });
        for round in 0..ROUNDS {
            let before = counter();
            while counter() == before {
                std::thread::yield_now();
            }
            ready.store(false, Ordering::SeqCst);
            space.apply(std::slice::from_ref(change)).unwrap();
            let frozen = counter();
            while !ready.load(Ordering::SeqCst) {
                assert_eq!(counter(), frozen, "written after apply, round {round}");
                std::thread::yield_now();
            }
            assert_eq!(counter(), frozen);
            space.apply(std::slice::from_ref(&page)).unwrap();
            ready.store(false, Ordering::SeqCst);
        }
    });
}

/// Unmap while another executor runs there.
pub fn nobody_writes_through_a_removed_mapping(bed: &TestBed) {
    let change = Change::Unmap { range: range(NOTHING, PAGE) };
    take_away(bed, &change, &[crate::Access::Write]);
}

/// Protect while another executor runs there.
pub fn nobody_writes_through_a_protected_mapping(bed: &TestBed) {
    let change = Change::Protect { range: range(NOTHING, PAGE), protection: Protection::READ };
    take_away(bed, &change, &[crate::Access::Write]);
}

/// Three executors in one space, each changing its own part while all run.
pub fn threads_that_map_and_unmap_see_their_own_memory(bed: &TestBed) {
    const ROUNDS: u64 = 200;
    // rdx = [rbx]; call: rbx is given by the kernel.
    let program = Program::new().raw(&[0x48, 0x8b, 0x13]).call(1).jump(0);
    let space = bed.space(&program);
    // Executors never end while others run.
    let end = Barrier::new(super::EXECUTORS);
    std::thread::scope(|scope| {
        for executor in 0..super::EXECUTORS {
            let (space, end) = (&space, &end);
            scope.spawn(move || {
                let cx = bed.context(executor);
                let mut state = bed.state();
                let own = executor as u64;
                let addr = NOTHING + own * 16 * PAGE;
                for round in 0..ROUNDS {
                    let offset = FREE_OFFSET + (own * 16 + round % 16) * PAGE;
                    let value = own << 32 | round;
                    bed.memory.write(offset, &value.to_le_bytes());
                    space.apply(&[map(addr, PAGE, offset, Protection::READ)]).unwrap();
                    state.regs.rbx = addr;
                    assert_eq!(go(&*cx, space, &mut state), Exit::Syscall);
                    assert_eq!(state.regs.rdx, value);
                    space.apply(&[Change::Unmap { range: range(addr, PAGE) }]).unwrap();
                    assert!(matches!(go(&*cx, space, &mut state), Exit::Fault { .. }));
                    state.regs.rip = CODE;
                }
                end.wait();
            });
        }
    });
}

/// A bug of the caller must not reach what the platform has there itself.
pub fn bad_ranges_are_refused(bed: &TestBed) {
    let program = Program::new().set(Reg::Rbx, DATA).load().call(1);
    let space = bed.space(&program);
    let top = abi::USER_MAX.get();
    for (start, len) in [(top, PAGE), (top - PAGE, 2 * PAGE), (DATA + 1, PAGE), (DATA, 100)] {
        assert!(space.apply(&[map(start, len, FREE_OFFSET, Protection::READ)]).is_err());
        assert!(space.apply(&[Change::Unmap { range: range(start, len) }]).is_err());
    }
    space.apply(&[map(DATA, 0, FREE_OFFSET, Protection::READ)]).unwrap();
    let cx = bed.context(0);
    let mut state = bed.state();
    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
}
