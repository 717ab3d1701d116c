//! Several threads in one address space, and in its relatives.

use std::{sync::Arc, thread};

use abi::{PAGE_SIZE, UserAddr};

use super::{Box_, RW, anonymous, check, peek, poke};
use crate::{Advice, Fault, MapRequest, MemoryManager, SharedMemory, Span};

const PAGES: u64 = 64;

/// One thread's part: its own column of bytes in each private page must never change under it,
/// whatever the others do to other bytes, to the object and to the number of processes.
fn work(
    mm: &Arc<MemoryManager>,
    object: &SharedMemory,
    private: UserAddr,
    shared: UserAddr,
    column: u64,
) {
    let mut value = 0_u8;
    for round in 0..400_u64 {
        let page = (round * 7 + column) % PAGES;
        let at = private.wrapping_add(page * PAGE_SIZE + column);
        value = value.wrapping_add(1);
        poke(mm, at, value).unwrap();
        assert_eq!(peek(mm, at), Ok(value));
        let there = shared.wrapping_add(page * PAGE_SIZE);
        assert!(matches!(peek(mm, there), Ok(_) | Err(Fault::BeyondEnd)));
        match (round + column) % 40 {
            0 => object.cache().truncate(PAGES / 2 * PAGE_SIZE).unwrap(),
            10 => object.cache().truncate(PAGES * PAGE_SIZE).unwrap(),
            20 => object.cache().punch_hole(Span::new(0, 9 * PAGE_SIZE)),
            25 => mm.advise(shared, PAGES * PAGE_SIZE, Advice::DontNeed).unwrap(),
            30 => {
                let child = mm.fork().unwrap();
                assert_eq!(peek(&child, at), Ok(value));
                poke(&child, at, !value).unwrap();
                assert_eq!(peek(mm, at), Ok(value));
            }
            35 => {
                let own = anonymous(mm, 3);
                poke(mm, own, 1).unwrap();
                mm.unmap(own, 3 * PAGE_SIZE).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn threads_do_not_disturb_one_another() {
    let sandbox = Box_::new(64 << 20);
    let mm = sandbox.mm();
    let object = sandbox.shared(PAGES);
    let private = anonymous(&mm, PAGES);
    let shared = MapRequest::file(object.clone(), 0, PAGES * PAGE_SIZE, RW).shared();
    let shared = mm.map(shared).unwrap();
    thread::scope(|scope| {
        for column in 0..4 {
            let (mm, object) = (&mm, &object);
            scope.spawn(move || work(mm, object, private, shared, column));
        }
    });
    check(&mm);
    assert_eq!(object.cache().writable_mappings(), 1);
    drop((mm, object));
    sandbox.assert_empty();
}
