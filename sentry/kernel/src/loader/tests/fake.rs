//! A platform without a machine: spaces are tables of pages over the real memory object.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use abi::{PAGE_SIZE, UserAddr};
use host::MemoryObject;
use platform::{AddressSpace, Backing, Change, Context, Platform, PlatformError, Protection};
use sched::Mutex;

#[derive(Debug)]
pub(super) struct FakePlatform(pub(super) Arc<MemoryObject>);

#[derive(Debug)]
struct FakeSpace {
    object: Arc<MemoryObject>,
    /// Where in the object each page lies.
    pages: Mutex<BTreeMap<u64, (u64, Protection)>>,
}

impl Platform for FakePlatform {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn new_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(FakeSpace { object: self.0.clone(), pages: Mutex::default() }))
    }

    fn context(&self, _executor: usize) -> Result<Box<dyn Context>, PlatformError> {
        Err(PlatformError::SpaceLost("no context in tests"))
    }

    fn kick(&self, _executor: usize) {}

    fn fpu_size_bytes(&self) -> usize {
        832
    }

    fn exact_faults(&self) -> bool {
        true
    }
}

impl FakeSpace {
    /// The part of `left` bytes from `addr` that lies in one page, where `allowed` admits it.
    fn piece(
        &self,
        addr: u64,
        left: usize,
        allowed: fn(&Protection) -> bool,
    ) -> Option<(u64, usize)> {
        let in_page = addr % PAGE_SIZE;
        let pages = self.pages.lock();
        let (offset, _) = pages.get(&(addr - in_page)).filter(|(_, rights)| allowed(rights))?;
        Some((offset + in_page, left.min((PAGE_SIZE - in_page) as usize)))
    }
}

impl AddressSpace for FakeSpace {
    fn apply(&self, changes: &[Change]) -> Result<(), PlatformError> {
        let mut pages = self.pages.lock();
        for change in changes {
            let (Change::Map { range, .. }
            | Change::Unmap { range }
            | Change::Protect { range, .. }) = change;
            for page in (range.start.get()..range.end.get()).step_by(PAGE_SIZE as usize) {
                match change {
                    Change::Map { backing: Backing::Memory { offset }, protection, .. } => {
                        let at = offset + page - range.start.get();
                        pages.insert(page, (at, *protection));
                    }
                    Change::Map { .. } => unreachable!("no host files in these tests"),
                    Change::Unmap { .. } => drop(pages.remove(&page)),
                    Change::Protect { protection, .. } => {
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
        let mut done = 0;
        while done < to.len() {
            let at = from.get() + done as u64;
            let Some((offset, len)) = self.piece(at, to.len() - done, |p| p.read) else { break };
            self.object.read(offset, &mut to[done..done + len]);
            done += len;
        }
        done
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> usize {
        let mut done = 0;
        while done < from.len() {
            let at = to.get() + done as u64;
            let Some((offset, len)) = self.piece(at, from.len() - done, |p| p.write) else { break };
            self.object.write(offset, &from[done..done + len]);
            done += len;
        }
        done
    }

    fn compare_exchange(&self, addr: UserAddr, expected: u32, new: u32) -> Option<u32> {
        let (offset, _) = self.piece(addr.get(), 4, |p| p.write)?;
        Some(self.object.compare_exchange_u32(offset, expected, new))
    }

    fn load(&self, addr: UserAddr) -> Option<u32> {
        let (offset, _) = self.piece(addr.get(), 4, |p| p.read)?;
        Some(self.object.load_u32(offset))
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Err(PlatformError::SpaceLost("no fork in these tests"))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
