//! Faults of single pages.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
};

use abi::{Errno, PAGE_SIZE, UserAddr};
use host::HostFile;
use platform::{Access, Protection};
use sched::Mutex;

use super::{Box_, RW, anonymous, calls, check, fake::FakeSpace, peek, poke};
use crate::{
    Advice, Charge, Fault, Identity, Limits, MapError, MapRequest, Mappable, MappingHandle,
    Mappings, Memory, MemoryManager, STACK_GUARD_BYTES, Translation, translate_host_file,
};

const MIB: u64 = 1 << 20;

fn page(base: UserAddr, number: u64) -> UserAddr {
    base.wrapping_add(number * PAGE_SIZE)
}

/// A host file as a file system would map it.
#[derive(Debug)]
struct OnHost {
    file: Arc<HostFile>,
    mappings: Mutex<Mappings>,
}

impl OnHost {
    fn new(pages: u8, writable: bool) -> (Arc<Self>, Arc<HostFile>) {
        let mut file = tempfile::tempfile().unwrap();
        for number in 0..pages {
            file.write_all(&[number + 1; PAGE_SIZE as usize]).unwrap();
        }
        let again = HostFile::new(file.try_clone().unwrap().into(), true);
        let file = Arc::new(HostFile::new(file.into(), writable));
        (Arc::new(Self { file, mappings: Mutex::default() }), Arc::new(again))
    }
}

state::cannot_save!(OnHost, Remote, Halves);

impl Mappable for OnHost {
    fn translate(&self, offset: u64, len: u64, _write: bool) -> Result<Translation, MapError> {
        translate_host_file(&self.file, offset, len)
    }

    fn add_mapping(&self, mapping: &MappingHandle) {
        self.mappings.lock().add(mapping);
    }

    fn remove_mapping(&self, mapping: &MappingHandle) {
        self.mappings.lock().remove(mapping);
    }

    fn identity(&self) -> Identity {
        Identity { dev: 8, ino: 42 }
    }

    fn name(&self) -> String {
        "/lib/libtest.so".to_owned()
    }
}

#[test]
fn a_host_file_is_mapped_whole_and_copied_on_write() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (file, host) = OnHost::new(20, false);
    let request = MapRequest::file(file.clone(), 0, 20 * PAGE_SIZE, RW);
    let base = mm.map(request).unwrap();
    mm.fault(page(base, 7), Access::Read).unwrap();
    assert_eq!(calls(&mm), 1);
    for number in 0..20 {
        assert_eq!(peek(&mm, page(base, number)), Ok(number as u8 + 1));
    }
    assert_eq!(calls(&mm), 1, "the first fault mapped all of it");
    poke(&mm, page(base, 9), 99).unwrap();
    assert_eq!(peek(&mm, page(base, 9)), Ok(99));
    assert_eq!(peek(&mm, page(base, 9).wrapping_add(1)), Ok(10));
    let mut there = [0];
    host.read_at(&mut there, 9 * PAGE_SIZE).unwrap();
    assert_eq!(there, [10], "the file itself is unchanged");
    check(&mm);
    assert!(!file.mappings.lock().is_empty());
    drop(mm);
    assert!(file.mappings.lock().is_empty());
    sandbox.assert_empty();
}

#[test]
fn a_host_file_that_shrinks_gives_bus_errors_and_short_copies() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (file, host) = OnHost::new(12, true);
    let base = mm.map(MapRequest::file(file.clone(), 0, 16 * PAGE_SIZE, RW)).unwrap();
    assert_eq!(peek(&mm, page(base, 12)), Err(Fault::BeyondEnd));
    mm.fault(base, Access::Read).unwrap();
    host.truncate(3 * PAGE_SIZE + 10).unwrap();
    let mut content = vec![0; 16 * PAGE_SIZE as usize];
    assert_eq!(mm.read_partial(base, &mut content), 4 * PAGE_SIZE as usize);
    assert_eq!(mm.read(page(base, 5), &mut [0]), Err(Errno::EFAULT));
    assert_eq!(mm.fault(page(base, 5), Access::Write), Err(Fault::BeyondEnd));
    assert_eq!(mm.fault(page(base, 3), Access::Write), Ok(()));
    assert_eq!(peek(&mm, page(base, 3).wrapping_add(10)), Ok(0));
    let shared = mm.map(MapRequest::file(file, 0, 16 * PAGE_SIZE, RW).shared()).unwrap();
    poke(&mm, page(shared, 2), 77).unwrap();
    let mut there = [0];
    host.read_at(&mut there, 2 * PAGE_SIZE).unwrap();
    assert_eq!(there, [77]);
    assert_eq!(mm.write(page(shared, 4), &[0]), Err(Errno::EFAULT));
    check(&mm);
}

#[test]
fn unknown_access_is_answered_by_what_mm_knows_itself() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    assert_eq!(mm.fault(UserAddr::new(0x10000), Access::Unknown), Err(Fault::NotMapped));
    let base = anonymous(&mm, 4);
    mm.fault(base, Access::Unknown).unwrap();
    assert_eq!(mm.fault(base, Access::Unknown), Err(Fault::NeedExactAccess));
    assert_eq!(mm.fault(base, Access::Write), Ok(()), "another task was faster");
    assert_eq!(mm.fault(base, Access::Execute), Err(Fault::Denied));
    mm.protect(base, PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(poke(&mm, base, 1), Err(Fault::Denied));
    assert_eq!(peek(&mm, base), Ok(0));
    mm.protect(base, PAGE_SIZE, Protection::NONE).unwrap();
    assert_eq!(mm.fault(base, Access::Unknown), Err(Fault::Denied));
    check(&mm);
}

#[test]
fn a_walk_through_memory_takes_few_orders() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let pages = 4 * MIB / PAGE_SIZE;
    let base = anonymous(&mm, pages);
    (0..pages).for_each(|number| poke(&mm, page(base, number), 1).unwrap());
    assert!(calls(&mm) <= 10, "{}", calls(&mm));
    let before = calls(&mm);
    mm.unmap(base, 4 * MIB).unwrap();
    assert_eq!(calls(&mm), before + 1);
    sandbox.assert_empty();
}

#[test]
fn fork_is_one_batch_and_the_last_holder_of_pages_need_not_copy() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 256);
    (0..256).for_each(|number| poke(&mm, page(base, number), 1).unwrap());
    let (before, used) = (calls(&mm), sandbox.memory.used_bytes());
    let child = mm.fork().unwrap();
    assert_eq!(calls(&mm), before + 1);
    assert_eq!(sandbox.memory.used_bytes(), used);
    poke(&child, page(base, 100), 2).unwrap();
    assert_eq!(peek(&mm, page(base, 100)), Ok(1));
    let copied = sandbox.memory.used_bytes() - used;
    assert!(copied <= 8 * PAGE_SIZE, "{copied}");
    check(&mm);
    check(&child);
    drop(child);
    let before = calls(&mm);
    (0..256).for_each(|number| poke(&mm, page(base, number), 3).unwrap());
    assert_eq!(calls(&mm), before + 1);
    assert_eq!(sandbox.memory.used_bytes(), used);
}

#[test]
fn rights_come_back_for_the_right_part_of_pages_that_were_unmapped() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 16);
    (0..16).for_each(|number| poke(&mm, page(base, number), number as u8).unwrap());
    mm.protect(base, 16 * PAGE_SIZE, Protection::NONE).unwrap();
    let child = mm.fork().unwrap();
    mm.protect(base, 16 * PAGE_SIZE, RW).unwrap();
    // The child holds the second half only; the first is the parent's own again.
    child.unmap(base, 8 * PAGE_SIZE).unwrap();
    child.unmap(page(base, 12), 4 * PAGE_SIZE).unwrap();
    poke(&mm, page(base, 13), 113).unwrap();
    poke(&mm, page(base, 3), 103).unwrap();
    check(&mm);
    for number in 0..16 {
        let changed = number == 13 || number == 3;
        assert_eq!(peek(&mm, page(base, number)), Ok(number as u8 + 100 * u8::from(changed)));
    }
}

#[test]
fn a_stack_grows_to_its_limit_and_keeps_its_distance() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    mm.set_limits(Limits { stack: 2 * MIB, ..Limits::default() });
    let top = 0x7000_0000_0000;
    let stack = MapRequest::anonymous(PAGE_SIZE, RW).at(UserAddr::new(top - PAGE_SIZE));
    mm.map(MapRequest { grows_down: true, ..stack.named("[stack]") }).unwrap();
    assert_eq!(poke(&mm, UserAddr::new(top - 100 * PAGE_SIZE), 1), Ok(()));
    assert_eq!(peek(&mm, UserAddr::new(top - 2 * MIB)), Ok(0));
    let beyond = UserAddr::new(top - 2 * MIB - 1);
    assert_eq!(mm.fault(beyond, Access::Write), Err(Fault::NotMapped));
    assert_eq!(mm.usage().stack, 2 * MIB);
    mm.set_limits(Limits { stack: 64 * MIB, ..Limits::default() });
    let below = top - 2 * MIB - STACK_GUARD_BYTES - 8 * PAGE_SIZE;
    mm.map(MapRequest::anonymous(PAGE_SIZE, RW).at(UserAddr::new(below - PAGE_SIZE))).unwrap();
    assert_eq!(mm.fault(UserAddr::new(below), Access::Write), Err(Fault::NotMapped));
    let nearest = UserAddr::new(below + STACK_GUARD_BYTES);
    assert_eq!(mm.fault(nearest.checked_sub(1).unwrap(), Access::Write), Err(Fault::NotMapped));
    assert_eq!(poke(&mm, nearest, 1), Ok(()));
    check(&mm);
}

#[test]
fn short_memory_is_given_page_by_page_and_then_refused() {
    let sandbox = Box_::new(5 * PAGE_SIZE);
    let mm = sandbox.mm();
    let base = mm
        .map(MapRequest { no_reserve: true, ..MapRequest::anonymous(64 * PAGE_SIZE, RW) })
        .unwrap();
    (0..5).for_each(|number| poke(&mm, page(base, number * 9), 1).unwrap());
    assert_eq!(mm.fault(page(base, 63), Access::Write), Err(Fault::NoMemory));
    assert_eq!(mm.write(page(base, 63), b"x"), Err(Errno::EFAULT));
    mm.advise(base, PAGE_SIZE, Advice::DontNeed).unwrap();
    assert_eq!(poke(&mm, page(base, 63), 1), Ok(()));
    let poor = MemoryManager::new(&sandbox.platform, &sandbox.memory, &Charge::new(0)).unwrap();
    let base = anonymous(&poor, 1);
    assert_eq!(poor.fault(base, Access::Write), Err(Fault::NoMemory));
}

#[test]
fn pages_of_a_lost_space_are_not_used_again_while_it_lives() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let base = anonymous(&mm, 1);
    poke(&mm, base, 1).unwrap();
    let used = sandbox.memory.used_bytes();
    FakeSpace::of(mm.space()).broken.store(true, Ordering::Relaxed);
    assert_eq!(mm.unmap(base, PAGE_SIZE), Err(Errno::ENOMEM));
    assert!(mm.is_lost());
    assert_eq!(sandbox.memory.used_bytes(), used);
    assert_eq!(mm.fault(base, Access::Read), Err(Fault::Lost));
    assert!(mm.fork().is_err());
    drop(mm);
    sandbox.assert_empty();
}

#[test]
fn a_space_that_an_executor_still_knows_is_emptied_first() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    poke(&mm, anonymous(&mm, 1), 1).unwrap();
    let space = Arc::clone(mm.space());
    drop(mm);
    assert!(FakeSpace::of(&space).pages().is_empty());
    sandbox.assert_empty();
}

/// A file whose pages have to be fetched, and that wants to know which are written.
#[derive(Debug)]
struct Remote {
    memory: Arc<Memory>,
    frames: Mutex<Option<crate::Frames>>,
    charge: Arc<Charge>,
    written: Mutex<Vec<u64>>,
    mm: Mutex<Option<Arc<MemoryManager>>>,
}

impl Mappable for Remote {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        let frames = self.frames.lock();
        let frames = frames.as_ref().ok_or(MapError::NotLoaded)?;
        if write {
            self.written.lock().push(offset);
        }
        let backing = platform::Backing::Memory { offset: frames.offset() + offset };
        let len = if write { PAGE_SIZE } else { len.min(frames.len() - offset) };
        Ok(Translation { backing, len, writable: write })
    }

    fn load(&self, _offset: u64, _len: u64) -> Result<(), MapError> {
        // This would never return if the address space were locked.
        if let Some(mm) = &*self.mm.lock() {
            assert!(mm.usage().total > 0);
        }
        let frames = self.memory.allocate(4, &self.charge, crate::Kind::File);
        *self.frames.lock() = Some(frames.map_err(|_| MapError::NoMemory)?);
        Ok(())
    }

    fn add_mapping(&self, _mapping: &MappingHandle) {}

    fn remove_mapping(&self, _mapping: &MappingHandle) {}

    fn identity(&self) -> Identity {
        Identity::default()
    }

    fn name(&self) -> String {
        String::new()
    }
}

#[test]
fn pages_are_loaded_without_the_lock_and_first_writes_are_announced() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (memory, charge) = (Arc::clone(&sandbox.memory), Arc::clone(&sandbox.charge));
    let remote = Arc::new(Remote {
        memory,
        frames: Mutex::default(),
        charge,
        written: Mutex::default(),
        mm: Mutex::new(Some(Arc::clone(&mm))),
    });
    let base = mm.map(MapRequest::file(remote.clone(), 0, 4 * PAGE_SIZE, RW).shared()).unwrap();
    mm.fault(page(base, 1), Access::Read).unwrap();
    assert_eq!(calls(&mm), 1);
    assert!(remote.written.lock().is_empty());
    poke(&mm, page(base, 2), 5).unwrap();
    poke(&mm, page(base, 2), 6).unwrap();
    assert_eq!(*remote.written.lock(), [2 * PAGE_SIZE]);
    check(&mm);
    *remote.mm.lock() = None;
}

#[test]
fn a_debugger_writes_to_private_copies_whatever_the_rights_are() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (file, host) = OnHost::new(4, true);
    let text = MapRequest::file(file.clone(), 0, 4 * PAGE_SIZE, Protection::READ_EXECUTE);
    let base = mm.map(text).unwrap();
    let at = page(base, 1).wrapping_add(4094);
    assert_eq!(mm.write_forced(at, &[9; 4]), 4);
    let mut back = [0; 6];
    assert_eq!(mm.read_forced(at.checked_sub(1).unwrap(), &mut back), 6);
    assert_eq!(back, [2, 9, 9, 9, 9, 3]);
    host.read_at(&mut back, PAGE_SIZE + 4093).unwrap();
    assert_eq!(back, [2, 2, 2, 3, 3, 3]);
    assert_eq!(peek(&mm, at), Ok(9));
    assert_eq!(poke(&mm, at, 1), Err(Fault::Denied));
    let child = mm.fork().unwrap();
    assert_eq!(child.write_forced(at, &[8]), 1);
    assert_eq!((peek(&mm, at), peek(&child, at)), (Ok(9), Ok(8)));
    let hidden = MapRequest::anonymous(PAGE_SIZE, Protection::NONE).at(UserAddr::new(1 << 30));
    let hidden = mm.map(hidden).unwrap();
    assert_eq!(mm.write_forced(hidden.wrapping_add(4090), &[7; 10]), 6);
    assert_eq!(mm.read_forced(hidden.wrapping_add(4095), &mut back[..1]), 1);
    assert_eq!(back[0], 7);
    assert_eq!(peek(&mm, hidden), Err(Fault::Denied));
    let shared = MapRequest::file(file, 0, PAGE_SIZE, Protection::READ).shared();
    let shared = mm.map(shared).unwrap();
    assert_eq!(mm.write_forced(shared, &[1]), 0);
    assert_eq!(mm.read_forced(UserAddr::new(u64::MAX), &mut back), 0);
    check(&mm);
    check(&child);
}

/// A file that lies in two host files.
#[derive(Debug)]
struct Halves(Arc<OnHost>, Arc<OnHost>);

impl Mappable for Halves {
    fn translate(&self, offset: u64, len: u64, write: bool) -> Result<Translation, MapError> {
        match offset.checked_sub(2 * PAGE_SIZE) {
            Some(offset) => self.1.translate(offset, len, write),
            None => self.0.translate(offset, len.min(2 * PAGE_SIZE - offset), write),
        }
    }

    fn add_mapping(&self, _mapping: &MappingHandle) {}

    fn remove_mapping(&self, _mapping: &MappingHandle) {}

    fn identity(&self) -> Identity {
        Identity::default()
    }

    fn name(&self) -> String {
        String::new()
    }
}

#[test]
fn pages_before_the_one_touched_are_mapped_only_if_they_belong_together() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (first, _) = OnHost::new(2, true);
    let (second, second_file) = OnHost::new(2, true);
    second_file.write_at(&[50; 2 * 4096], 0).unwrap();
    let halves = Arc::new(Halves(first, second));
    let base = mm.map(MapRequest::file(halves, 0, 4 * PAGE_SIZE, Protection::READ)).unwrap();
    for (number, byte) in [(2, 50), (3, 50), (0, 1), (1, 2)] {
        assert_eq!(peek(&mm, page(base, number)), Ok(byte));
    }
    assert_eq!(calls(&mm), 2);
    check(&mm);
}

#[test]
fn a_child_made_while_pages_go_away_loses_them_too() {
    let sandbox = Box_::new(64 * MIB);
    let mm = sandbox.mm();
    let (file, _) = OnHost::new(2, true);
    let base = mm.map(MapRequest::file(file.clone(), 0, 2 * PAGE_SIZE, RW).shared()).unwrap();
    poke(&mm, base, 1).unwrap();
    let child = Mutex::new(None);
    // The first answer is given, then the process forks before it is told.
    let mappings = || {
        let now = file.mappings.lock().snapshot();
        child.lock().get_or_insert_with(|| mm.fork().unwrap());
        now
    };
    crate::invalidate_all(mappings, crate::Span::new(0, 2 * PAGE_SIZE), crate::Copies::Drop);
    let child = child.into_inner().unwrap();
    let end = crate::Span::new(!(PAGE_SIZE - 1), u64::MAX);
    crate::invalidate_all(|| file.mappings.lock().snapshot(), end, crate::Copies::Drop);
    assert_eq!((mm.usage().resident(), child.usage().resident()), (0, 0));
    check(&mm);
    check(&child);
}
