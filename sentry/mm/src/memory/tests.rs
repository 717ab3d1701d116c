use super::*;

const MIB: u64 = 1 << 20;

fn memory(limit: u64) -> (Arc<Memory>, Arc<Charge>) {
    let object = Arc::new(MemoryObject::new(64 * MIB).unwrap());
    (Memory::new(object, limit), Charge::new(u64::MAX))
}

#[test]
fn used_pages_come_back_zeroed() {
    let (memory, charge) = memory(64 * MIB);
    let first = memory.allocate(4, &charge, Kind::Kernel).unwrap();
    let offset = first.offset();
    assert_eq!(first.write(0, &[7; 4 * 4096]), 4 * 4096);
    drop(first);
    let second = memory.allocate(4, &charge, Kind::Kernel).unwrap();
    assert_eq!(second.offset(), offset, "the warm pages are used first");
    let mut back = [1; 4 * 4096];
    assert_eq!(second.read(0, &mut back), back.len());
    assert!(back.iter().all(|byte| *byte == 0));
}

#[test]
fn limits_of_sandbox_and_account_hold_and_all_is_refunded() {
    let (memory, charge) = memory(MIB);
    assert_eq!(memory.allocate(257, &charge, Kind::Shmem).unwrap_err(), Errno::ENOMEM);
    let small = Charge::new(4096);
    assert_eq!(memory.allocate(2, &small, Kind::Shmem).unwrap_err(), Errno::ENOMEM);
    let one = memory.allocate(1, &small, Kind::Shmem).unwrap();
    let rest = memory.allocate(255, &charge, Kind::Anonymous).unwrap();
    assert_eq!(memory.used_bytes(), MIB);
    assert_eq!(memory.allocate(1, &charge, Kind::Shmem).unwrap_err(), Errno::ENOMEM);
    assert_eq!((small.usage().shmem, charge.usage().anonymous), (4096, 255 * 4096));
    drop((one, rest));
    assert_eq!((memory.used_bytes(), charge.usage().total, small.usage().total), (0, 0, 0));
    assert_eq!(Arc::strong_count(&small), 1, "the books forget an account without memory");
}

#[test]
fn hostile_sizes_are_refused() {
    let (memory, charge) = memory(u64::MAX);
    for pages in [0, u64::MAX, u64::MAX / 4096, 64 * MIB / 4096 + 1] {
        assert_eq!(memory.allocate(pages, &charge, Kind::Kernel).unwrap_err(), Errno::ENOMEM);
    }
    assert_eq!(charge.usage().total, 0);
}

#[test]
fn a_page_is_free_after_its_last_reference() {
    let (memory, charge) = memory(MIB);
    let span = memory.take(3, &charge, Kind::Anonymous, Content::Zero).unwrap();
    let middle = Span::from_len(span.start + 4096, 4096);
    memory.retain(&[middle]);
    assert!(!memory.is_exclusive(span));
    assert_eq!(memory.run_around(span.start, span, true), Span::from_len(span.start, 4096));
    assert_eq!(memory.run_around(middle.start, span, false), middle);
    assert!(memory.run_around(middle.start, span, true).is_empty());
    memory.release(&[span]);
    assert_eq!(memory.used_bytes(), 4096);
    memory.release(&[middle]);
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn large_free_ranges_go_back_to_the_host_and_read_as_zero() {
    let (memory, charge) = memory(64 * MIB);
    let frames = memory.allocate(32 * MIB / 4096, &charge, Kind::Anonymous).unwrap();
    assert_eq!(frames.write(20 * MIB, b"old"), 3);
    drop(frames);
    assert!(memory.books.lock().warm_bytes() <= WARM_BYTES);
    let frames = memory.allocate(32 * MIB / 4096, &charge, Kind::Anonymous).unwrap();
    let mut back = [1; 3];
    assert_eq!(frames.read(20 * MIB, &mut back), 3);
    assert_eq!(back, [0; 3]);
    drop(frames);
    memory.trim();
    assert_eq!(memory.books.lock().warm_bytes(), 0);
}
