//! Tests of a whole memory manager over a fake platform.
#![expect(clippy::cast_possible_truncation, reason = "the numbers are the tests' own, and small")]

mod calls;
mod fake;
mod faults;
mod model;
mod threads;

use std::sync::{Arc, atomic::Ordering};

use abi::{PAGE_SIZE, UserAddr};
use host::MemoryObject;
use platform::{Access, Platform, Protection};

use self::fake::{FakePlatform, FakeSpace};
use crate::{Charge, Fault, Kind, MapRequest, Memory, MemoryManager, SharedMemory};

const RW: Protection = Protection::READ_WRITE;

/// A sandbox of one container.
struct Box_ {
    platform: Arc<dyn Platform>,
    memory: Arc<Memory>,
    charge: Arc<Charge>,
}

impl Box_ {
    fn new(limit: u64) -> Self {
        let object = Arc::new(MemoryObject::new(256 << 20).unwrap());
        let platform = Arc::new(FakePlatform { object: Arc::clone(&object) });
        Self { platform, memory: Memory::new(object, limit), charge: Charge::new(u64::MAX) }
    }

    fn mm(&self) -> Arc<MemoryManager> {
        MemoryManager::new(&self.platform, &self.memory, &self.charge).unwrap()
    }

    fn shared(&self, pages: u64) -> Arc<SharedMemory> {
        SharedMemory::new(&self.memory, &self.charge, pages * PAGE_SIZE, "/memfd:test".to_owned())
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert_eq!(self.memory.used_bytes(), 0);
        assert_eq!(self.charge.usage().total, 0);
    }
}

fn anonymous(mm: &Arc<MemoryManager>, pages: u64) -> UserAddr {
    mm.map(MapRequest::anonymous(pages * PAGE_SIZE, RW)).unwrap()
}

/// Calls of `apply` so far.
fn calls(mm: &MemoryManager) -> usize {
    FakeSpace::of(mm.space()).calls.load(Ordering::Relaxed)
}

/// Writes as a program does on a platform that can't tell the access.
fn poke(mm: &MemoryManager, addr: UserAddr, byte: u8) -> Result<(), Fault> {
    for _ in 0..1000 {
        if mm.space().copy_out(addr, &[byte]) == 1 {
            return Ok(());
        }
        match mm.fault(addr, Access::Unknown) {
            Err(Fault::NeedExactAccess) => mm.fault(addr, Access::Write)?,
            other => other?,
        }
    }
    unreachable!("no progress");
}

/// Reads as a program does on a platform that can't tell the access.
fn peek(mm: &MemoryManager, addr: UserAddr) -> Result<u8, Fault> {
    for _ in 0..1000 {
        let mut byte = [0];
        if mm.space().copy_in(addr, &mut byte) == 1 {
            return Ok(byte[0]);
        }
        match mm.fault(addr, Access::Unknown) {
            Err(Fault::NeedExactAccess) => mm.fault(addr, Access::Read)?,
            other => other?,
        }
    }
    unreachable!("no progress");
}

/// What must hold between any two operations.
#[track_caller]
fn check(mm: &MemoryManager) {
    let state = mm.state().lock();
    let mut mapped = FakeSpace::of(mm.space()).pages();
    for (span, pma) in state.pmas.segments().iter() {
        for page in span.page_starts() {
            let part = crate::segments::Piece::skip(pma, page - span.start);
            let (_, vma) = state.vmas.segments().at(page).expect("no page without a mapping");
            let frame = part.frames(PAGE_SIZE);
            if let Some(frame) = frame {
                assert!(mm.memory().refs(frame.start) > 0, "a page that nobody holds");
            }
            if part.protection.write {
                assert!(vma.protection.write);
                let alone = frame.is_some_and(|frame| mm.memory().refs(frame.start) == 1);
                assert!(vma.shared || part.is_own() && alone, "writable, but not alone");
            }
            assert!(!part.is_own() || !vma.shared);
            assert!(!part.protection.execute || vma.protection.execute);
            assert!(!part.is_mapped() || vma.is_accessible());
            let in_space = mapped.remove(&page);
            assert_eq!(in_space.is_some(), part.is_mapped());
            if let Some((backing, protection)) = in_space {
                assert_eq!(protection, part.protection);
                assert!(crate::pma::continues(&backing, 0, &part.backing));
            }
        }
    }
    assert!(mapped.is_empty(), "mapped without a page: {mapped:?}");
}

/// A kind is charged for as long as something holds it.
#[test]
fn kinds_are_charged_apart() {
    let sandbox = Box_::new(64 << 20);
    let mm = sandbox.mm();
    let private = anonymous(&mm, 1);
    let shared = mm.map(MapRequest::anonymous(PAGE_SIZE, RW).shared()).unwrap();
    mm.write(private, b"x").unwrap();
    mm.write(shared, b"x").unwrap();
    let kernel = sandbox.memory.allocate(2, &sandbox.charge, Kind::Kernel).unwrap();
    let usage = sandbox.charge.usage();
    assert_eq!((usage.anonymous, usage.shmem, usage.kernel), (4096, 4096, 8192));
    drop((mm, kernel));
    sandbox.assert_empty();
}
