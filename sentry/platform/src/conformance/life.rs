//! Spaces are made, forked and dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use abi::UserAddr;

use super::{FREE_OFFSET, NOTHING, PAGE, Program, Reg, TestBed, file, go, map, map_file, range};
use crate::{AddressSpace, Change, Exit, Protection};

/// rdx = [NOTHING]; call; for ever.
fn reader() -> Program {
    let start = Program::new().set(Reg::Rbx, NOTHING);
    start.raw(&[0x48, 0x8b, 0x13]).call(1).jump(10)
}

/// What `mm` builds fork on.
pub fn a_fork_has_the_same_memory_and_its_own_mappings(bed: &TestBed) {
    let cx = bed.context(0);
    let parent = bed.space(&reader());
    let file = file(PAGE);
    bed.memory.write(FREE_OFFSET, &1_u64.to_le_bytes());
    bed.memory.write(FREE_OFFSET + PAGE, &2_u64.to_le_bytes());
    parent
        .apply(&[
            map(NOTHING, PAGE, FREE_OFFSET, Protection::READ),
            map_file(NOTHING + PAGE, PAGE, &file, Protection::READ_WRITE),
        ])
        .unwrap();
    let mut parents = bed.state();
    assert_eq!(go(&*cx, &parent, &mut parents), Exit::Syscall);
    let child = parent.fork().unwrap();
    cx.save_fpu(&mut parents).unwrap();
    let mut childs = crate::UserState::new(parents.regs, parents.fpu.clone());
    assert_eq!(go(&*cx, &child, &mut childs), Exit::Syscall);
    assert_eq!(childs.regs.rdx, 1);
    child.apply(&[map(NOTHING, PAGE, FREE_OFFSET + PAGE, Protection::READ)]).unwrap();
    for (space, state, wanted) in [(&parent, &mut parents, 1), (&child, &mut childs, 2)] {
        assert_eq!(go(&*cx, space, state), Exit::Syscall);
        assert_eq!(state.regs.rdx, wanted);
        let mut word = [0; 8];
        assert_eq!(space.copy_in(UserAddr::new(NOTHING), &mut word), 8);
        assert_eq!(u64::from_le_bytes(word), wanted);
    }
    parent.apply(&[Change::Unmap { range: range(NOTHING, 2 * PAGE) }]).unwrap();
    assert_eq!(child.copy_out(UserAddr::new(NOTHING + PAGE), &[1]), 1);
    assert!(matches!(go(&*cx, &parent, &mut parents), Exit::Fault { .. }));
    assert_eq!(go(&*cx, &child, &mut childs), Exit::Syscall);
}

/// A line of ten generations, each parent dropped as soon as its child is there.
pub fn forks_outlive_their_parents(bed: &TestBed) {
    let cx = bed.context(0);
    let mut space = bed.space(&reader());
    space.apply(&[map(NOTHING, PAGE, FREE_OFFSET, Protection::READ)]).unwrap();
    bed.memory.write(FREE_OFFSET, &7_u64.to_le_bytes());
    for _ in 0..10 {
        let mut state = bed.state();
        assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
        assert_eq!(state.regs.rdx, 7);
        space = space.fork().unwrap();
    }
}

/// Three hundred, by two executors at once; none leaves a trace that stops the next.
pub fn spaces_come_and_go(bed: &TestBed) {
    bed.memory.write(0, reader().code());
    std::thread::scope(|scope| {
        for executor in 0..2 {
            scope.spawn(move || {
                let cx = bed.context(executor);
                for i in 0..150_u64 {
                    let space = bed.platform.new_space().unwrap();
                    let offset = FREE_OFFSET + executor as u64 * PAGE;
                    bed.memory.write(offset, &i.to_le_bytes());
                    space
                        .apply(&[
                            map(super::CODE, PAGE, 0, Protection::READ_EXECUTE),
                            map(NOTHING, PAGE, offset, Protection::READ),
                        ])
                        .unwrap();
                    let mut state = bed.state();
                    assert_eq!(go(&*cx, &space, &mut state), Exit::Syscall);
                    assert_eq!(state.regs.rdx, i);
                }
            });
        }
    });
}

/// The executor's own reference is enough.
pub fn a_space_dropped_by_all_others_runs_on(bed: &TestBed) {
    let space = bed.space(&Program::new().set(Reg::Rbx, super::DATA).increment().jump(10));
    let weak = Arc::downgrade(&space);
    let counter = || bed.memory.load_u32(super::DATA_OFFSET);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let runner = scope.spawn(move || {
            let cx = bed.context(1);
            let mut state = bed.state();
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Interrupted);
            }
        });
        for _ in 0..20 {
            let before = counter();
            while counter() == before {
                std::thread::yield_now();
            }
            bed.platform.kick(1);
        }
        stop.store(true, Ordering::SeqCst);
        while !runner.is_finished() {
            bed.platform.kick(1);
            std::thread::yield_now();
        }
    });
    assert!(weak.upgrade().is_none());
    let last = counter();
    std::thread::yield_now();
    assert_eq!(counter(), last);
}

/// Forks and drops of forks while the parent runs on another executor.
pub fn a_space_can_be_left_while_it_runs_elsewhere(bed: &TestBed) {
    let space = bed.space(&Program::new().set(Reg::Rbx, super::DATA).increment().jump(10));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (shared, stop_seen): (&Arc<dyn AddressSpace>, _) = (&space, &stop);
        let runner = scope.spawn(move || {
            let cx = bed.context(1);
            let mut state = bed.state();
            while !stop_seen.load(Ordering::SeqCst) {
                assert_eq!(cx.switch(shared, &mut state).unwrap(), Exit::Interrupted);
            }
        });
        let cx = bed.context(0);
        for _ in 0..50 {
            let fork = space.fork().unwrap();
            let mut state = bed.state();
            state.single_step = true;
            assert_eq!(go(&*cx, &fork, &mut state), Exit::Trap { vector: 1, code: 0 });
        }
        stop.store(true, Ordering::SeqCst);
        while !runner.is_finished() {
            bed.platform.kick(1);
            std::thread::yield_now();
        }
    });
}
