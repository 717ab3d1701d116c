//! The calls, with good and with hostile arguments.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE, USER_MAX, USER_MIN, UserAddr};
use platform::{Access, Protection};

use super::{Box_, RW, anonymous, calls, check, peek, poke};
use crate::{
    Advice, Fixed, FutexKey, Layout, Limits, MapRequest, Mappable, MemoryManager, RemapFlags, What,
};

const MIB: u64 = 1 << 20;

fn at(addr: u64) -> UserAddr {
    UserAddr::new(addr)
}

/// Every call with every hostile pair of numbers: no panic, and what was mapped is still there.
#[test]
fn hostile_numbers_are_errors() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let kept = mm.map(MapRequest::anonymous(PAGE_SIZE, RW).at(at(0x5000_0000))).unwrap();
    mm.write(kept, b"kept").unwrap();
    let top = USER_MAX.get();
    let numbers = [
        0,
        1,
        4095,
        4096,
        0xfff,
        0x10000,
        0x10001,
        top - 4096,
        top - 1,
        top,
        top + 4096,
        1 << 47,
        1 << 63,
        u64::MAX - 4096,
        u64::MAX - 4095,
        u64::MAX,
    ];
    for addr in numbers {
        for len in numbers {
            hostile_calls(&mm, at(addr), len);
        }
    }
    let mut back = [0; 4];
    mm.read(kept, &mut back).unwrap();
    assert_eq!(&back, b"kept");
    check(&mm);
    drop(mm);
    sandbox.assert_empty();
}

fn hostile_calls(mm: &Arc<MemoryManager>, addr: UserAddr, len: u64) {
    for fixed in [Fixed::No, Fixed::NoReplace] {
        for low in [false, true] {
            let request = MapRequest { addr, fixed, low, ..MapRequest::anonymous(len, RW) };
            if let Ok(place) = mm.map(request) {
                assert!(place >= USER_MIN && place.checked_add(len).unwrap() <= USER_MAX);
                mm.unmap(place, len).unwrap();
            }
        }
    }
    let object: Arc<dyn Mappable> =
        crate::SharedMemory::new(mm.memory(), mm.charge(), 1, String::new());
    let file = MapRequest::file(object, addr.get(), len, RW);
    if let Ok(place) = mm.map(file) {
        mm.unmap(place, len).unwrap();
    }
    let keeps = addr.get() > 0x5000_0000;
    if keeps {
        let _ = mm.unmap(addr, len);
        let _ = mm.protect(addr, len, Protection::READ);
        let _ = mm.protect_stack(addr, len, Protection::READ);
        let _ = mm.advise(addr, len, Advice::DontNeed);
    }
    for advice in [Advice::Free, Advice::Remove, Advice::WipeOnFork, Advice::PopulateWrite] {
        let _ = keeps.then(|| mm.advise(addr, len, advice));
    }
    for to in [None, Some(at(len)), Some(at(u64::MAX))] {
        let flags = RemapFlags { may_move: true, fixed: to, dont_unmap: false };
        assert!(mm.remap(addr, len, len, flags).is_err());
    }
    let _ = mm.remap(at(0x5000_0000), PAGE_SIZE, len.max(1 << 40), RemapFlags::default());
    let _ = (mm.sync(addr, len, true, true), mm.resident(addr, len), mm.unlock(addr, len));
    let _ = (mm.lock(addr, len, false), mm.brk(addr));
    assert!(mm.zero(addr, len).is_err() || len == 0);
    assert_eq!(mm.read_partial(addr, &mut [0; 9]), 0);
    assert_eq!(mm.write_partial(addr, &[0; 9]), 0);
    assert!(mm.read_string(addr, 100).is_err());
    assert!(mm.read_iovecs(addr, len).is_err() || len == 0);
    assert!(mm.load_u32(addr).is_err() && mm.compare_exchange_u32(addr, 0, 0).is_err());
    assert!(mm.futex_key(addr, false).is_err());
    assert!(mm.fault(addr, Access::Unknown).is_err());
}

#[test]
fn mappings_are_placed_from_the_top_down_and_hints_are_taken() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let layout = Layout::top_down(8 << 20, 0x1000, 0x5000);
    assert_eq!(layout.mmap_base.get(), USER_MAX.get() - (128 << 20) - 0x5000);
    mm.set_layout(layout);
    let first = anonymous(&mm, 2);
    assert_eq!(first.wrapping_add(2 * PAGE_SIZE), layout.mmap_base);
    assert_eq!(anonymous(&mm, 1).wrapping_add(PAGE_SIZE), first);
    let hint = MapRequest { addr: at(0x1234_5678), ..MapRequest::anonymous(1, RW) };
    assert_eq!(mm.map(hint.clone()), Ok(at(0x1234_5000)));
    assert_ne!(mm.map(hint), Ok(at(0x1234_5000)), "taken");
    let low = mm.map(MapRequest { low: true, ..MapRequest::anonymous(1, RW) }).unwrap();
    assert!(low.get() < 2 << 30);
    let exact = MapRequest::anonymous(1, RW);
    assert_eq!(mm.map(exact.clone().at(at(0x1000))), Err(Errno::EPERM));
    assert_eq!(mm.map(exact.clone().at(at(0x12345))), Err(Errno::EINVAL));
    assert_eq!(mm.map(exact.at(USER_MAX)), Err(Errno::ENOMEM));
    assert_eq!(mm.map(MapRequest::anonymous(0, RW)), Err(Errno::EINVAL));
    let whole = MapRequest::anonymous(USER_MAX.get(), Protection::NONE);
    assert_eq!(mm.map(whole), Err(Errno::ENOMEM));
}

#[test]
fn thousands_of_calls_leave_few_mappings() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let pages: Vec<UserAddr> = (0..5000).map(|_| anonymous(&mm, 1)).collect();
    assert_eq!(mm.maps().len(), 1);
    for page in pages.iter().step_by(2) {
        mm.protect(*page, PAGE_SIZE, Protection::READ).unwrap();
    }
    assert_eq!(mm.maps().len(), 5000);
    for page in pages.iter().step_by(2) {
        mm.protect(*page, PAGE_SIZE, RW).unwrap();
    }
    assert_eq!(mm.maps().len(), 1);
    assert_eq!(calls(&mm), 0, "the platform was not bothered at all");
}

#[test]
fn the_number_of_mappings_is_bounded() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let len = 100_000 * PAGE_SIZE;
    let base = mm.map(MapRequest::anonymous(len, Protection::NONE)).unwrap();
    let split = |number: u64| mm.protect(base.wrapping_add(number * 2 * PAGE_SIZE), PAGE_SIZE, RW);
    let failed = (1..50_000).find(|number| split(*number).is_err());
    assert!(failed.is_some_and(|number| number > 30_000));
    assert_eq!(mm.map(MapRequest::anonymous(1, Protection::READ)).err(), None);
    mm.unmap(base, len).unwrap();
    assert_eq!(mm.maps().len(), 1);
}

#[test]
fn protection_stops_at_holes_and_at_what_the_file_allows() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 3);
    mm.unmap(base.wrapping_add(PAGE_SIZE), PAGE_SIZE).unwrap();
    assert_eq!(mm.protect(base, 3 * PAGE_SIZE, Protection::READ), Err(Errno::ENOMEM));
    assert_eq!(mm.maps()[0].protection, Protection::READ);
    assert_eq!(mm.maps()[1].protection, RW);
    assert_eq!(mm.protect(base.wrapping_add(1), 1, RW), Err(Errno::EINVAL));
    let max_protection = Protection::READ;
    let file = MapRequest::file(sandbox.shared(1), 0, PAGE_SIZE, Protection::READ).shared();
    let base = mm.map(MapRequest { max_protection, ..file }).unwrap();
    assert_eq!(mm.protect(base, PAGE_SIZE, RW), Err(Errno::EACCES));
}

#[test]
fn the_heap_grows_and_shrinks_until_it_meets_something() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let start = 0x6000_0123;
    mm.set_brk_start(at(start));
    assert_eq!(mm.brk(at(0)), at(start));
    assert_eq!(mm.brk(at(start + 10 * PAGE_SIZE)), at(start + 10 * PAGE_SIZE));
    poke(&mm, at(start + 9 * PAGE_SIZE), 1).unwrap();
    assert_eq!(mm.maps()[0].name, "[heap]");
    assert_eq!(mm.brk(at(start + PAGE_SIZE)), at(start + PAGE_SIZE));
    assert_eq!(mm.brk(at(start + 10 * PAGE_SIZE)), at(start + 10 * PAGE_SIZE));
    assert_eq!(peek(&mm, at(start + 9 * PAGE_SIZE)), Ok(0), "given back and zero again");
    assert_eq!(mm.maps().len(), 1);
    mm.map(MapRequest::anonymous(1, RW).at(at(0x6002_0000))).unwrap();
    assert_eq!(mm.brk(at(0x6003_0000)), at(start + 10 * PAGE_SIZE));
    mm.set_limits(Limits { data: 12 * PAGE_SIZE, ..Limits::default() });
    assert_eq!(mm.brk(at(start + 20 * PAGE_SIZE)), at(start + 10 * PAGE_SIZE));
}

#[test]
fn remap_can_leave_the_old_range_empty_or_map_shared_pages_twice() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 4);
    poke(&mm, base, 7).unwrap();
    let flags = RemapFlags { may_move: true, fixed: None, dont_unmap: true };
    let moved = mm.remap(base, 4 * PAGE_SIZE, 4 * PAGE_SIZE, flags).unwrap();
    assert_eq!((peek(&mm, moved), peek(&mm, base)), (Ok(7), Ok(0)));
    let again = RemapFlags { may_move: true, ..RemapFlags::default() };
    assert_eq!(mm.remap(base, 0, PAGE_SIZE, again), Err(Errno::EINVAL));
    let shared = mm.map(MapRequest::anonymous(2 * PAGE_SIZE, RW).shared()).unwrap();
    let twin = mm.remap(shared, 0, 2 * PAGE_SIZE, again).unwrap();
    poke(&mm, shared.wrapping_add(PAGE_SIZE), 9).unwrap();
    assert_eq!(peek(&mm, twin.wrapping_add(PAGE_SIZE)), Ok(9));
    assert_eq!(mm.remap(at(0x10000), PAGE_SIZE, PAGE_SIZE, again), Err(Errno::EFAULT));
    check(&mm);
}

#[test]
fn limits_hold() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    mm.set_limits(Limits { address_space: 10 * PAGE_SIZE, ..Limits::default() });
    let base = anonymous(&mm, 10);
    assert_eq!(mm.map(MapRequest::anonymous(1, RW)), Err(Errno::ENOMEM));
    assert_eq!(mm.map(MapRequest::anonymous(PAGE_SIZE, RW).at(base)), Ok(base), "no more than was");
    mm.set_limits(Limits { data: 10 * PAGE_SIZE, locked: PAGE_SIZE, ..Limits::default() });
    assert_eq!(mm.map(MapRequest::anonymous(1, RW)), Err(Errno::ENOMEM));
    assert!(mm.map(MapRequest::anonymous(1, Protection::READ)).is_ok());
    assert_eq!(mm.lock(base, 2 * PAGE_SIZE, false), Err(Errno::ENOMEM));
    mm.lock(base, 1, false).unwrap();
    assert_eq!(mm.usage().locked, PAGE_SIZE);
    assert_eq!(mm.resident(base, PAGE_SIZE), Ok(vec![true]));
    assert_eq!(mm.advise(base, PAGE_SIZE, Advice::DontNeed), Err(Errno::EINVAL));
    mm.unlock_all();
    assert_eq!(mm.usage().locked, 0);
    mm.set_limits(Limits { locked: 0, ..Limits::default() });
    assert_eq!(mm.lock(base, 1, false), Err(Errno::EPERM));
    let absurd = MapRequest::anonymous(1 << 40, RW);
    assert_eq!(mm.map(absurd.clone()), Err(Errno::ENOMEM));
    assert!(mm.map(MapRequest { no_reserve: true, ..absurd }).is_ok());
}

#[test]
fn children_get_what_the_parent_advised() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 3);
    (0..3).for_each(|page| poke(&mm, base.wrapping_add(page * PAGE_SIZE), 5).unwrap());
    mm.advise(base, PAGE_SIZE, Advice::DontFork).unwrap();
    mm.advise(base.wrapping_add(PAGE_SIZE), PAGE_SIZE, Advice::WipeOnFork).unwrap();
    let child = mm.fork().unwrap();
    check(&mm);
    check(&child);
    assert_eq!(child.maps().len(), 2);
    assert_eq!(peek(&child, base), Err(crate::Fault::NotMapped));
    assert_eq!(peek(&child, base.wrapping_add(PAGE_SIZE)), Ok(0));
    assert_eq!(peek(&child, base.wrapping_add(2 * PAGE_SIZE)), Ok(5));
}

#[test]
fn hole_punching_through_a_mapping_reaches_the_object() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let object = sandbox.shared(4);
    let base = mm.map(MapRequest::file(object.clone(), 0, 4 * PAGE_SIZE, RW).shared()).unwrap();
    mm.write(base, &[1; 4 * 4096]).unwrap();
    mm.advise(base.wrapping_add(PAGE_SIZE), PAGE_SIZE, Advice::Remove).unwrap();
    assert_eq!(object.cache().resident_bytes(), 3 * PAGE_SIZE);
    assert_eq!(peek(&mm, base.wrapping_add(PAGE_SIZE)), Ok(0));
    assert_eq!(mm.advise(anonymous(&mm, 1), PAGE_SIZE, Advice::Remove), Err(Errno::EINVAL));
    check(&mm);
}

#[test]
fn populating_leaves_nothing_to_fault() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let request = MapRequest::anonymous(MIB, RW);
    let base = mm.map(MapRequest { populate: true, ..request.clone() }).unwrap();
    assert_eq!(mm.usage().resident_anonymous, MIB);
    let before = calls(&mm);
    mm.write(base, &vec![1; MIB as usize]).unwrap();
    assert_eq!(calls(&mm), before);
    mm.lock_all(false, true, false).unwrap();
    mm.map(request.shared()).unwrap();
    assert_eq!((mm.usage().resident_shmem, mm.usage().locked), (MIB, MIB));
}

#[test]
fn strings_values_and_vectors_are_read() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 2);
    let end = base.wrapping_add(2 * PAGE_SIZE);
    let name = end.checked_sub(4).unwrap();
    mm.write(name, b"abc\0").unwrap();
    assert_eq!(mm.read_string(name, 4096).unwrap(), b"abc");
    assert_eq!(mm.read_string(name, 3), Err(Errno::ENAMETOOLONG));
    mm.write(name, b"abcd").unwrap();
    assert_eq!(mm.read_string(name, 4096), Err(Errno::EFAULT));
    let long = end.checked_sub(5000).unwrap();
    mm.write(long, &[b'x'; 4999]).unwrap();
    mm.write(end.checked_sub(1).unwrap(), &[0]).unwrap();
    assert_eq!(mm.read_string(long, 8192).unwrap().len(), 4999);
    mm.write_value(base, &0x1122_3344_5566_7788_u64).unwrap();
    assert_eq!(mm.read_value::<u32>(base.wrapping_add(4)), Ok(0x1122_3344));
    assert_eq!(mm.read_value::<u64>(end.checked_sub(4).unwrap()), Err(Errno::EFAULT));
    mm.write_value(base, &[0x10000_u64, 5, 0x20000, u64::MAX >> 1]).unwrap();
    let vectors = mm.read_iovecs(base, 2);
    assert_eq!(vectors, Err(Errno::EFAULT), "the second ends beyond all addresses");
    mm.write_value(base, &[0x10000_u64, 5, 0x20000, 1 << 40]).unwrap();
    let vectors = mm.read_iovecs(base, 2).unwrap();
    assert_eq!(vectors.iter().map(|vector| vector.len()).sum::<u64>(), 0x7fff_f000);
    assert_eq!(mm.read_iovecs(base, 1025), Err(Errno::EINVAL));
    mm.write_value(base, &[0x10000_u64, 1 << 63]).unwrap();
    assert_eq!(mm.read_iovecs(base, 1), Err(Errno::EINVAL));
    mm.zero(base, 2 * PAGE_SIZE).unwrap();
    assert_eq!(mm.read_string(long, 10).unwrap(), b"");
    assert_eq!(mm.zero(base, 2 * PAGE_SIZE + 1), Err(Errno::EFAULT));
}

#[test]
fn futexes_are_known_by_what_they_lie_in() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let private = anonymous(&mm, 1);
    let shared = mm.map(MapRequest::anonymous(2 * PAGE_SIZE, RW).shared()).unwrap();
    let child = mm.fork().unwrap();
    assert_ne!(mm.futex_key(private, false), child.futex_key(private, false));
    assert_eq!(mm.futex_key(private, false), mm.futex_key(private, true));
    let word = shared.wrapping_add(PAGE_SIZE + 8);
    let key = mm.futex_key(word, false).unwrap();
    assert!(matches!(key, FutexKey::Shared { offset: 4104, .. }));
    assert_eq!(child.futex_key(word, false), Ok(key));
    assert_ne!(mm.futex_key(word, true), Ok(key));
    assert_eq!(mm.futex_key(word.wrapping_add(2), false), Err(Errno::EINVAL));
    assert_eq!(mm.compare_exchange_u32(word, 0, 5), Ok(0));
    assert_eq!(child.load_u32(word), Ok(5));
    assert_eq!(child.compare_exchange_u32(word, 4, 6), Ok(5));
    mm.protect(shared, 2 * PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(mm.compare_exchange_u32(word, 5, 6), Err(Errno::EFAULT));
    assert_eq!(mm.load_u32(word), Ok(5));
}

#[test]
fn mappings_are_described() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = 0x5000_0000;
    let object: Arc<dyn Mappable> = sandbox.shared(8);
    let what = What::File { mappable: Arc::clone(&object), offset: PAGE_SIZE };
    let request = MapRequest::anonymous(2 * PAGE_SIZE, Protection::READ_EXECUTE);
    mm.map(MapRequest { what, ..request.at(at(base)) }).unwrap();
    mm.map(MapRequest::anonymous(PAGE_SIZE, RW).at(at(base + 2 * PAGE_SIZE)).named("[vdso]"))
        .unwrap();
    peek(&mm, at(base + PAGE_SIZE)).unwrap();
    poke(&mm, at(base + 2 * PAGE_SIZE), 1).unwrap();
    let maps = mm.maps();
    assert_eq!(maps.len(), 2);
    assert_eq!((maps[0].name.as_str(), maps[0].offset), ("/memfd:test", PAGE_SIZE));
    assert_eq!(maps[0].identity, object.identity());
    assert_eq!((maps[0].resident, maps[0].anonymous), (PAGE_SIZE, 0));
    assert_eq!((maps[1].name.as_str(), maps[1].anonymous), ("[vdso]", PAGE_SIZE));
    let usage = mm.usage();
    assert_eq!((usage.total, usage.data, usage.text), (3 * PAGE_SIZE, PAGE_SIZE, 2 * PAGE_SIZE));
    assert_eq!((usage.resident(), usage.resident_shmem), (2 * PAGE_SIZE, PAGE_SIZE));
    mm.unmap(at(base), 3 * PAGE_SIZE).unwrap();
    let usage = mm.usage();
    assert_eq!((usage.total, usage.resident()), (0, 0));
    assert_eq!((usage.peak_total, usage.peak_resident), (3 * PAGE_SIZE, 2 * PAGE_SIZE));
}
