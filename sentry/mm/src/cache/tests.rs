#![expect(clippy::cast_possible_truncation, reason = "the numbers are the tests' own, and small")]

use host::MemoryObject;
use proptest::prelude::*;

use super::*;

const PAGES: u64 = 40;

fn cache() -> (Arc<Memory>, Arc<Charge>, PageCache) {
    let object = Arc::new(MemoryObject::new(64 << 20).unwrap());
    let memory = Memory::new(object, 64 << 20);
    let charge = Charge::new(u64::MAX);
    let cache = PageCache::new(&memory, &charge, Kind::Shmem);
    (memory, charge, cache)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u64, usize, u8),
    Truncate(u64),
    Punch(u64, u64),
    Allocate(u64, u64),
    Touch(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..PAGES * PAGE_SIZE;
    prop_oneof![
        (at(), 1..20_000_usize, 1..=255_u8).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        at().prop_map(Step::Truncate),
        (at(), 1..40_000_u64).prop_map(|(at, len)| Step::Punch(at, len)),
        (at(), 1..40_000_u64).prop_map(|(at, len)| Step::Allocate(at, len)),
        at().prop_map(Step::Touch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_behaves_like_a_vector_of_bytes(steps in proptest::collection::vec(step(), 1..30)) {
        let (memory, charge, cache) = cache();
        let mut model: Vec<u8> = Vec::new();
        for step in steps {
            act(&memory, &cache, &mut model, step);
            prop_assert_eq!(cache.size(), model.len() as u64);
            let mut back = vec![9; model.len() + 10];
            let len = cache.read_at(0, &mut back);
            back.truncate(len);
            prop_assert!(back == model);
            prop_assert_eq!(cache.resident_bytes(), memory.used_bytes());
            prop_assert_eq!(cache.resident_bytes(), charge.usage().shmem);
        }
        drop(cache);
        prop_assert_eq!((memory.used_bytes(), charge.usage().total), (0, 0));
    }
}

fn act(memory: &Memory, cache: &PageCache, model: &mut Vec<u8>, step: Step) {
    match step {
        Step::Write(at, len, byte) => {
            assert_eq!(cache.write_at(at, &vec![byte; len]), Ok(len));
            let at = at as usize;
            model.resize(model.len().max(at + len), 0);
            model[at..at + len].fill(byte);
        }
        Step::Truncate(size) => {
            cache.truncate(size).unwrap();
            model.resize(size as usize, 0);
        }
        Step::Punch(at, len) => {
            cache.punch_hole(Span::from_len(at, len));
            let end = model.len().min((at + len) as usize);
            if let Some(part) = model.get_mut(at as usize..end) {
                part.fill(0);
            }
        }
        Step::Allocate(at, len) => cache.allocate(Span::from_len(at, len)).unwrap(),
        Step::Touch(at) => match cache.translate(page_down(at), 1 << 20, true) {
            Ok(Translation { backing: Backing::Memory { offset }, len, .. }) => {
                assert!(len >= PAGE_SIZE && page_down(at) < model.len() as u64);
                // An application may write beyond the end, within the page.
                memory.write(offset + PAGE_SIZE - 1, b"x");
                if let Some(byte) = model.get_mut((page_down(at) + PAGE_SIZE - 1) as usize) {
                    *byte = b'x';
                }
            }
            Ok(other) => unreachable!("{other:?}"),
            Err(error) => {
                assert_eq!(error, MapError::BeyondEnd);
                assert!(page_down(at) >= model.len() as u64);
            }
        },
    }
}

#[test]
fn holes_and_data_are_found() {
    let (_memory, _charge, cache) = cache();
    assert_eq!((cache.seek_data(0), cache.seek_hole(0)), (None, None));
    cache.write_at(3 * PAGE_SIZE, b"data").unwrap();
    cache.truncate(10 * PAGE_SIZE).unwrap();
    assert_eq!(cache.seek_data(0), Some(3 * PAGE_SIZE));
    assert_eq!(cache.seek_data(3 * PAGE_SIZE + 7), Some(3 * PAGE_SIZE + 7));
    assert_eq!(cache.seek_data(4 * PAGE_SIZE), None);
    assert_eq!(cache.seek_hole(0), Some(0));
    assert_eq!(cache.seek_hole(3 * PAGE_SIZE), Some(4 * PAGE_SIZE));
    cache.truncate(3 * PAGE_SIZE + 4).unwrap();
    assert_eq!(cache.seek_hole(3 * PAGE_SIZE), Some(3 * PAGE_SIZE + 4));
    assert_eq!(cache.resident_bytes(), PAGE_SIZE);
}

#[test]
fn hostile_offsets_are_errors() {
    let (memory, _charge, cache) = cache();
    assert_eq!(cache.write_at(u64::MAX, b"x"), Err(Errno::EFBIG));
    assert_eq!(cache.write_at(MAX_SIZE, b"x"), Err(Errno::EFBIG));
    assert_eq!(cache.truncate(u64::MAX), Err(Errno::EFBIG));
    assert_eq!(cache.allocate(Span::new(0, u64::MAX)), Err(Errno::EFBIG));
    assert_eq!(cache.write_at(MAX_SIZE - 1, b"xy"), Ok(1));
    cache.punch_hole(Span::new(0, u64::MAX));
    assert_eq!((cache.size(), memory.used_bytes()), (MAX_SIZE, 0));
    assert_eq!(cache.allocate(Span::new(0, 1 << 40)), Err(Errno::ENOSPC));
    assert_eq!(cache.read_at(u64::MAX, &mut [0; 4]), 0);
    assert_eq!(cache.translate(u64::MAX, u64::MAX, true).unwrap_err(), MapError::BeyondEnd);
}

#[test]
fn a_write_that_memory_does_not_suffice_for_is_cut() {
    let object = Arc::new(MemoryObject::new(1 << 20).unwrap());
    let memory = Memory::new(object, 3 * PAGE_SIZE);
    let charge = Charge::new(u64::MAX);
    let cache = PageCache::new(&memory, &charge, Kind::Shmem);
    assert_eq!(cache.write_at(100, &[1; 5 * 4096]), Ok(3 * 4096 - 100));
    assert_eq!(cache.size(), 3 * PAGE_SIZE);
    assert_eq!(cache.write_at(3 * PAGE_SIZE, &[1]), Err(Errno::ENOSPC));
}
