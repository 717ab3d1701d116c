//! Copies by the kernel.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::UserAddr;

use super::{FREE_OFFSET, NOTHING, PAGE, TestBed, file, map, map_file, range};
use crate::{Change, Protection};

/// Across mappings with different backings and rights, up to the first hole.
pub fn copies_go_as_far_as_the_mappings_allow(bed: &TestBed) {
    let space = bed.platform.new_space().unwrap();
    // Two neighbours whose backings lie the other way round, then a read-only one, then a hole.
    space
        .apply(&[
            map(NOTHING, PAGE, FREE_OFFSET + PAGE, Protection::READ_WRITE),
            map(NOTHING + PAGE, PAGE, FREE_OFFSET, Protection::READ_WRITE),
            map(NOTHING + 2 * PAGE, PAGE, FREE_OFFSET + 2 * PAGE, Protection::READ),
        ])
        .unwrap();
    let data: Vec<u8> = (0..4 * PAGE).map(|i| (i % 251) as u8).collect();
    let start = UserAddr::new(NOTHING + 100);
    assert_eq!(space.copy_out(start, &data), (2 * PAGE - 100) as usize);
    let mut back = vec![0; data.len()];
    assert_eq!(space.copy_in(start, &mut back), (3 * PAGE - 100) as usize);
    let written = (2 * PAGE - 100) as usize;
    assert_eq!(back[..written], data[..written]);
    let mut tail = [0; 50];
    bed.memory.read(FREE_OFFSET, &mut tail);
    assert_eq!(tail, data[(PAGE - 100) as usize..][..50]);
    for hole in [0, NOTHING - 1, NOTHING + 3 * PAGE, u64::MAX, 1 << 63] {
        assert_eq!(space.copy_in(UserAddr::new(hole), &mut back), 0, "{hole:#x}");
        assert_eq!(space.copy_out(UserAddr::new(hole), &data), 0, "{hole:#x}");
    }
    assert_eq!(space.copy_in(start, &mut []), 0);
}

/// A file that shrinks and grows under its mapping.
pub fn copies_reach_the_end_of_a_file_and_no_further(bed: &TestBed) {
    let space = bed.platform.new_space().unwrap();
    let file = file(4 * PAGE);
    space.apply(&[map_file(NOTHING, 4 * PAGE, &file, Protection::READ_WRITE)]).unwrap();
    let at = UserAddr::new(NOTHING);
    let data = vec![7; (4 * PAGE) as usize];
    assert_eq!(space.copy_out(at, &data), data.len());
    let mut back = vec![0; data.len()];
    assert_eq!(space.copy_in(at, &mut back), data.len());
    assert_eq!(back, data);
    // The page that holds the end is there as a whole, and a store behind the end is not kept.
    file.truncate(PAGE + 10).unwrap();
    assert_eq!(space.copy_in(at, &mut back), 2 * PAGE as usize);
    assert_eq!(back[PAGE as usize + 9], 7);
    assert_eq!(back[PAGE as usize + 10], 0);
    assert_eq!(space.copy_out(at, &data), 2 * PAGE as usize);
    assert_eq!(file.size().unwrap(), PAGE + 10);
    file.truncate(0).unwrap();
    assert_eq!(space.copy_in(at, &mut back), 0);
    assert_eq!(space.copy_out(at, &data), 0);
    assert_eq!(space.load(at), None);
    assert_eq!(file.size().unwrap(), 0);
}

/// Futex words.
pub fn words_are_exchanged_only_where_writable(bed: &TestBed) {
    let space = bed.platform.new_space().unwrap();
    let file = file(PAGE);
    space
        .apply(&[
            map(NOTHING, PAGE, FREE_OFFSET, Protection::READ_WRITE),
            map(NOTHING + PAGE, PAGE, FREE_OFFSET, Protection::READ),
            map_file(NOTHING + 2 * PAGE, PAGE, &file, Protection::READ_WRITE),
        ])
        .unwrap();
    for page in [0, 2] {
        let word = UserAddr::new(NOTHING + page * PAGE + 8);
        assert_eq!(space.load(word), Some(0));
        assert_eq!(space.compare_exchange(word, 0, 5), Some(0));
        assert_eq!(space.compare_exchange(word, 0, 6), Some(5));
        assert_eq!(space.load(word), Some(5));
    }
    let read_only = UserAddr::new(NOTHING + PAGE + 8);
    assert_eq!(space.load(read_only), Some(5));
    assert_eq!(space.compare_exchange(read_only, 5, 6), None);
    for absent in [NOTHING + 2, NOTHING + 3 * PAGE, u64::MAX - 3] {
        assert_eq!(space.load(UserAddr::new(absent)), None);
        assert_eq!(space.compare_exchange(UserAddr::new(absent), 0, 1), None);
    }
}

/// Once `apply` has returned, the frames belong to somebody else.
pub fn a_copy_never_runs_through_a_removed_mapping(bed: &TestBed) {
    const ROUNDS: u32 = 300;
    let len = 16 * PAGE;
    let space = bed.platform.new_space().unwrap();
    let round = AtomicU32::new(0);
    let mapped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let data = vec![1; len as usize];
            while round.load(Ordering::SeqCst) < ROUNDS {
                let done = space.copy_out(UserAddr::new(NOTHING), &data);
                assert!(done == 0 || done == data.len());
                if done > 0 {
                    mapped.store(true, Ordering::SeqCst);
                }
            }
        });
        while round.load(Ordering::SeqCst) < ROUNDS {
            mapped.store(false, Ordering::SeqCst);
            space.apply(&[map(NOTHING, len, FREE_OFFSET, Protection::READ_WRITE)]).unwrap();
            while !mapped.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let change = if round.load(Ordering::SeqCst).is_multiple_of(2) {
                Change::Unmap { range: range(NOTHING, len) }
            } else {
                Change::Protect { range: range(NOTHING, len), protection: Protection::READ }
            };
            space.apply(&[change]).unwrap();
            bed.memory.zero(FREE_OFFSET, len as usize);
            std::thread::yield_now();
            let mut back = vec![9; len as usize];
            bed.memory.read(FREE_OFFSET, &mut back);
            assert!(back.iter().all(|byte| *byte == 0));
            round.fetch_add(1, Ordering::SeqCst);
        }
    });
}
