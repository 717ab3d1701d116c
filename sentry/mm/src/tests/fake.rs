//! A platform without a machine: spaces are tables of pages over the real memory object.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use abi::{AddrRange, PAGE_SIZE, USER_MAX, USER_MIN, UserAddr};
use host::MemoryObject;
use platform::{AddressSpace, Backing, Change, Context, Platform, PlatformError, Protection};
use sched::Mutex;

use crate::{
    pma::advance,
    span::{page_down, page_up},
};

#[derive(Debug)]
pub(super) struct FakePlatform {
    pub(super) object: Arc<MemoryObject>,
}

#[derive(Debug)]
pub(super) struct FakeSpace {
    object: Arc<MemoryObject>,
    pages: Mutex<BTreeMap<u64, (Backing, Protection)>>,
    /// Calls of `apply` and changes in them.
    pub(super) calls: AtomicUsize,
    pub(super) changes: AtomicUsize,
    pub(super) broken: AtomicBool,
}

impl Platform for FakePlatform {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn new_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(FakeSpace::new(&self.object, BTreeMap::new())))
    }

    fn context(&self, _executor: usize) -> Result<Box<dyn Context>, PlatformError> {
        Err(PlatformError::SpaceLost("no context in tests"))
    }

    fn kick(&self, _executor: usize) {}

    fn fpu_size_bytes(&self) -> usize {
        576
    }

    fn exact_faults(&self) -> bool {
        false
    }
}

impl FakeSpace {
    fn new(object: &Arc<MemoryObject>, pages: BTreeMap<u64, (Backing, Protection)>) -> Self {
        Self {
            object: Arc::clone(object),
            pages: Mutex::new(pages),
            calls: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    pub(super) fn of(space: &Arc<dyn AddressSpace>) -> &Self {
        space.as_any().downcast_ref().unwrap()
    }

    pub(super) fn pages(&self) -> BTreeMap<u64, (Backing, Protection)> {
        self.pages.lock().clone()
    }

    /// Does `step` to each piece of `len` bytes from `addr` that lies in one page and that
    /// `allowed` admits; returns how many bytes were done.
    fn walk(
        &self,
        addr: UserAddr,
        len: usize,
        allowed: fn(&Protection) -> bool,
        mut step: impl FnMut(&Backing, usize, usize) -> bool,
    ) -> usize {
        let pages = self.pages.lock();
        let mut done = 0;
        while done < len {
            let at = addr.get() + done as u64;
            let part = (len - done).min((PAGE_SIZE - at % PAGE_SIZE) as usize);
            let Some((backing, protection)) = pages.get(&page_down(at)) else { break };
            if !allowed(protection) || !step(&advance(backing, at % PAGE_SIZE), done, part) {
                break;
            }
            done += part;
        }
        done
    }
}

fn pages_of(range: AddrRange) -> impl Iterator<Item = u64> {
    assert!(range.start.is_page_aligned() && range.end.is_page_aligned() && !range.is_empty());
    assert!(range.start >= USER_MIN && range.end <= USER_MAX, "{range:?}");
    (range.start.get()..range.end.get()).step_by(PAGE_SIZE as usize)
}

/// True if the page of a host file that holds `offset` is there.
fn in_file(file: &host::HostFile, offset: u64) -> bool {
    offset < page_up(file.size().unwrap()).unwrap()
}

impl AddressSpace for FakeSpace {
    fn apply(&self, changes: &[Change]) -> Result<(), PlatformError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(PlatformError::SpaceLost("as the test wanted"));
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.changes.fetch_add(changes.len(), Ordering::Relaxed);
        let mut pages = self.pages.lock();
        for change in changes {
            match change {
                Change::Map { range, backing, protection } => {
                    assert_ne!(*protection, Protection::NONE);
                    for page in pages_of(*range) {
                        let backing = advance(backing, page - range.start.get());
                        pages.insert(page, (backing, *protection));
                    }
                }
                Change::Unmap { range } => {
                    pages_of(*range).for_each(|page| drop(pages.remove(&page)));
                }
                Change::Protect { range, protection } => {
                    assert_ne!(*protection, Protection::NONE);
                    for page in pages_of(*range) {
                        if let Some((_, rights)) = pages.get_mut(&page) {
                            *rights = *protection;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> usize {
        self.walk(
            from,
            to.len(),
            |rights| rights.read,
            |backing, done, part| {
                let to = &mut to[done..done + part];
                match backing {
                    Backing::Memory { offset } => self.object.read(*offset, to),
                    Backing::File { file, offset } => {
                        to.fill(0);
                        return in_file(file, *offset) && file.read_at(to, *offset).is_ok();
                    }
                }
                true
            },
        )
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> usize {
        self.walk(
            to,
            from.len(),
            |rights| rights.write,
            |backing, done, part| {
                let from = &from[done..done + part];
                match backing {
                    Backing::Memory { offset } => self.object.write(*offset, from),
                    Backing::File { file, offset } => {
                        return in_file(file, *offset) && file.write_at(from, *offset).is_ok();
                    }
                }
                true
            },
        )
    }

    fn compare_exchange(&self, addr: UserAddr, expected: u32, new: u32) -> Option<u32> {
        let mut old = None;
        self.walk(
            addr,
            4,
            |rights| rights.write,
            |backing, _, _| {
                if let Backing::Memory { offset } = backing {
                    old = Some(self.object.compare_exchange_u32(*offset, expected, new));
                }
                true
            },
        );
        old
    }

    fn load(&self, addr: UserAddr) -> Option<u32> {
        let mut bytes = [0; 4];
        (self.copy_in(addr, &mut bytes) == 4).then(|| u32::from_le_bytes(bytes))
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(PlatformError::SpaceLost("as the test wanted"));
        }
        Ok(Arc::new(Self::new(&self.object, self.pages())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
