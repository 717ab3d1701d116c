//! Address spaces: a stub process each.

use std::{
    any::Any,
    fmt,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use abi::{AddrRange, USER_MAX, UserAddr};
use host::{HostFile, MemoryObject};
use platform::{AddressSpace, Backing, Change, PlatformError, Protection};

use crate::{
    call,
    carrier::Carrier,
    layout::{self, fd},
    order::{LIST_MAX, Order},
    ptrace::{Shared, lock},
    service::{FILES_MAX, Lost, Prepared, Service},
    shadow::Shadow,
    stub,
    tracee::{self, Tracee},
};

/// Bytes that one copy moves at a time between looks at the map.
const CHUNK: u64 = 1 << 20;

/// The carrier of one executor.
#[derive(Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "few, and nearly all are of the large one")]
pub(crate) enum Slot {
    /// Not made yet.
    #[default]
    Empty,
    /// Ready.
    Ready(Carrier),
    /// Dead and reaped.
    Dead,
}

/// What a space is made of. Lock order: `shadow`, then `service`; `slots[i]`, then `service`;
/// `leader` last.
#[derive(Debug)]
pub(crate) struct SpaceCore {
    shared: Arc<Shared>,
    pid: i32,
    /// Held shared by copies, exclusively while a change is carried out.
    shadow: RwLock<Shadow>,
    service: Mutex<Service>,
    slots: Box<[Mutex<Slot>]>,
    lost: AtomicBool,
    /// True as long as `pid` has not been reaped.
    leader: Mutex<bool>,
}

impl SpaceCore {
    /// Clones the stub that `parent` serves; the new space has the mappings `shadow`.
    pub(crate) fn clone_from(
        shared: &Arc<Shared>,
        parent: &mut Service,
        shadow: Shadow,
    ) -> Result<Arc<Self>, PlatformError> {
        let prepared = Prepared::new()?;
        let pid = parent.clone_space(&prepared)?;
        if pid == 0 {
            return Err(no_process());
        }
        let slots = shared.executors.iter().map(|_| Mutex::default()).collect();
        let this = Arc::new(Self {
            shared: shared.clone(),
            pid,
            shadow: RwLock::new(shadow),
            service: Mutex::new(prepared.started(pid, &shared.cpus)),
            slots,
            lost: AtomicBool::new(false),
            leader: Mutex::new(true),
        });
        let ready = lock(&this.service).acknowledged();
        ready.map_err(|Lost| no_process())?;
        Ok(this)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn slot(&self, executor: usize) -> Option<&Mutex<Slot>> {
        self.slots.get(executor)
    }

    /// Makes the carrier of an executor; to be called on that executor's thread.
    pub(crate) fn attach(&self, executor: usize) -> Result<Carrier, PlatformError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let tid = lock(&self.service).clone_thread(layout::CLONE_CARRIER)?;
        if tid == 0 {
            return Err(no_process());
        }
        match Tracee::seize(tid, stub::parked()) {
            Ok(tracee) => {
                self.shared.cpus.pin(executor, Some(tid));
                Ok(Carrier::new(tracee, executor))
            }
            Err(source) => {
                self.lose();
                Err(PlatformError::Host { what: "ptrace of a stub", source })
            }
        }
    }

    /// Notes that the stub is dead or must be, and kills it.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        let alive = lock(&self.leader);
        if *alive {
            tracee::kill(self.pid);
        }
    }

    /// Kills the stub, since an executor can't run in it any more, and reaps that one's carrier.
    pub(crate) fn leave(&self, executor: usize) {
        self.lose();
        if let Some(slot) = self.slots.get(executor) {
            let mut slot = lock(slot);
            if let Slot::Ready(carrier) = &*slot {
                carrier.reap();
            }
            *slot = Slot::Dead;
        }
    }

    /// Kills the stub and waits until nothing of it runs. An executor that runs in it ends its
    /// switch by that. The leader can't be waited for before its traced threads.
    fn destroy(&self) {
        for executor in 0..self.slots.len() {
            self.leave(executor);
        }
        let mut alive = lock(&self.leader);
        if *alive {
            tracee::reap(self.pid);
            *alive = false;
        }
    }

    /// Two bytes of code, if they can be had without waiting.
    pub(crate) fn code_at(&self, addr: UserAddr) -> Option<[u8; 2]> {
        let shadow = self.shadow.try_read().ok()?;
        let mut code = [0; 2];
        (copy_in(&self.shared.memory, &shadow, addr, &mut code) == 2).then_some(code)
    }

    fn read_shadow(&self) -> std::sync::RwLockReadGuard<'_, Shadow> {
        self.shadow.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SpaceCore {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// The stub does not tell why a clone failed: it is nearly always a limit on processes.
fn no_process() -> PlatformError {
    let source = std::io::Error::from_raw_os_error(libc::EAGAIN);
    PlatformError::Host { what: "a stub process or thread", source }
}

/// Why a lost space says no.
pub(crate) const LOST: PlatformError = PlatformError::SpaceLost("its stub is dead");

/// An address space as the kernel holds it.
pub(crate) struct Space {
    pub(crate) core: Arc<SpaceCore>,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("pid", &self.core.pid).finish_non_exhaustive()
    }
}

impl Space {
    pub(crate) fn new(core: Arc<SpaceCore>) -> Self {
        Self { core }
    }
}

/// Changes on their way to the service thread.
struct Batch<'a> {
    service: &'a mut Service,
    orders: Vec<Order>,
    files: Vec<Arc<HostFile>>,
}

impl Batch<'_> {
    /// Orders that come before and after those of one list: receive files, close them.
    const RESERVE: usize = 4 + FILES_MAX;

    fn push(&mut self, order: Order) -> Result<(), Lost> {
        if self.orders.len() + Self::RESERVE >= LIST_MAX {
            self.flush()?;
        }
        self.orders.push(order);
        Ok(())
    }

    /// The number under which the service thread will have `file` in this list.
    fn file(&mut self, file: &Arc<HostFile>) -> Result<u64, Lost> {
        if self.orders.len() + Self::RESERVE + 1 >= LIST_MAX {
            self.flush()?;
        }
        let known = self.files.iter().position(|other| Arc::ptr_eq(other, file));
        let index = match known {
            Some(index) => index,
            None => {
                if self.files.len() == FILES_MAX {
                    self.flush()?;
                }
                self.files.push(file.clone());
                self.files.len() - 1
            }
        };
        Ok(fd::DONATED + index as u64)
    }

    fn map(
        &mut self,
        range: AddrRange,
        backing: &Backing,
        protection: Protection,
    ) -> Result<(), Lost> {
        let (number, offset) = match backing {
            Backing::Memory { offset } => (fd::MEMORY, *offset),
            Backing::File { file, offset } => (self.file(file)?, *offset),
        };
        let start = range.start.get();
        let args = [start, range.len(), bits(protection), call::MAP_FILE, number, offset];
        self.push(Order::new(call::MMAP, args, start))
    }

    fn flush(&mut self) -> Result<(), Lost> {
        if self.orders.is_empty() {
            return Ok(());
        }
        let mut orders = std::mem::take(&mut self.orders);
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            let mut all = self.service.send(&fds)?.to_vec();
            all.append(&mut orders);
            all.extend((fd::DONATED..).take(files.len()).map(|n| Order::new(call::CLOSE, [n], 0)));
            orders = all;
        }
        self.service.execute(&orders)
    }
}

fn bits(protection: Protection) -> u64 {
    u64::from(protection.read)
        | u64::from(protection.write) << 1
        | u64::from(protection.execute) << 2
}

/// The contract asks for page-aligned ranges below `USER_MAX`; anything else is a bug of the
/// caller, and must not reach the stub's own pages.
fn check(range: AddrRange) -> Result<(), PlatformError> {
    let aligned = range.start.is_page_aligned() && range.end.is_page_aligned();
    if aligned && range.end <= USER_MAX {
        return Ok(());
    }
    Err(PlatformError::Host {
        what: "a range that is not aligned or not an application's",
        source: std::io::ErrorKind::InvalidInput.into(),
    })
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change]) -> Result<(), PlatformError> {
        for change in changes {
            let (Change::Map { range, .. }
            | Change::Unmap { range }
            | Change::Protect { range, .. }) = change;
            check(*range)?;
        }
        if self.core.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let mut shadow = self.core.shadow.write().unwrap_or_else(PoisonError::into_inner);
        let mut service = lock(&self.core.service);
        let mut batch = Batch { service: &mut service, orders: Vec::new(), files: Vec::new() };
        let done = carry_out(&mut shadow, &mut batch, changes);
        drop(service);
        if done.is_err() {
            // The caller will reuse what it wanted unmapped: nothing may run here any more.
            self.core.destroy();
            return Err(LOST);
        }
        Ok(())
    }

    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> usize {
        copy_in(&self.core.shared.memory, &self.core.read_shadow(), from, to)
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> usize {
        let shadow = self.core.read_shadow();
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let addr = to.get().wrapping_add(done as u64);
            let Some((backing, left, protection)) = shadow.at(addr) else { break };
            if !protection.write {
                break;
            }
            let len = rest.len().min(usize::try_from(left.min(CHUNK)).unwrap_or(0));
            let Some(chunk) = rest.get(..len) else { break };
            let count = write_backing(&self.core.shared.memory, &backing, chunk);
            done += count;
            if count < len {
                break;
            }
        }
        done
    }

    fn compare_exchange(&self, addr: UserAddr, expected: u32, new: u32) -> Option<u32> {
        let shadow = self.core.read_shadow();
        let (backing, _, protection) = aligned_word(&shadow, addr)?;
        if !protection.write {
            return None;
        }
        match backing {
            Backing::Memory { offset } => {
                Some(self.core.shared.memory.compare_exchange_u32(offset, expected, new))
            }
            Backing::File { .. } => {
                let memory = &self.core.shared.memory;
                let mut word = [0; 4];
                let read = read_backing(memory, &backing, &mut word);
                let old = (read == 4).then(|| u32::from_le_bytes(word))?;
                if old == expected {
                    let written = write_backing(memory, &backing, &new.to_le_bytes());
                    (written == 4).then_some(())?;
                }
                Some(old)
            }
        }
    }

    fn load(&self, addr: UserAddr) -> Option<u32> {
        let shadow = self.core.read_shadow();
        let (backing, _, protection) = aligned_word(&shadow, addr)?;
        if !protection.read {
            return None;
        }
        match backing {
            Backing::Memory { offset } => Some(self.core.shared.memory.load_u32(offset)),
            Backing::File { .. } => {
                let mut word = [0; 4];
                let read = read_backing(&self.core.shared.memory, &backing, &mut word);
                (read == 4).then(|| u32::from_le_bytes(word))
            }
        }
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        if self.core.lost.load(Ordering::SeqCst) {
            return Err(LOST);
        }
        let shadow = self.core.read_shadow();
        let mut service = lock(&self.core.service);
        let child = SpaceCore::clone_from(&self.core.shared, &mut service, shadow.clone());
        drop(service);
        let child = child.inspect_err(|error| {
            if matches!(error, PlatformError::SpaceLost(_)) {
                self.core.lose();
            }
        })?;
        Ok(Arc::new(Self::new(child)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn carry_out(shadow: &mut Shadow, batch: &mut Batch<'_>, changes: &[Change]) -> Result<(), Lost> {
    for change in changes {
        match change {
            Change::Map { range, .. } | Change::Unmap { range } | Change::Protect { range, .. }
                if range.is_empty() => {}
            Change::Map { range, backing, protection } => {
                batch.map(*range, backing, *protection)?;
                shadow.map(*range, backing.clone(), *protection);
            }
            Change::Unmap { range } => {
                batch.push(Order::new(call::MUNMAP, [range.start.get(), range.len()], 0))?;
                shadow.unmap(*range);
            }
            Change::Protect { range, protection } => {
                // Over a hole mprotect would fail.
                for (start, end) in shadow.protect(*range, *protection) {
                    let args = [start, end - start, bits(*protection)];
                    batch.push(Order::new(call::MPROTECT, args, 0))?;
                }
            }
        }
    }
    batch.flush()
}

/// [`AddressSpace::copy_in`] by the map `shadow`.
fn copy_in(memory: &MemoryObject, shadow: &Shadow, from: UserAddr, to: &mut [u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let addr = from.get().wrapping_add(done as u64);
        let Some((backing, left, protection)) = shadow.at(addr) else { break };
        if !protection.read {
            break;
        }
        let len = rest.len().min(usize::try_from(left.min(CHUNK)).unwrap_or(0));
        let Some(chunk) = rest.get_mut(..len) else { break };
        let count = read_backing(memory, &backing, chunk);
        done += count;
        if count < len {
            break;
        }
    }
    done
}

fn aligned_word(shadow: &Shadow, addr: UserAddr) -> Option<(Backing, u64, Protection)> {
    if !addr.get().is_multiple_of(4) {
        return None;
    }
    shadow.at(addr.get())
}

fn read_backing(memory: &MemoryObject, backing: &Backing, to: &mut [u8]) -> usize {
    match backing {
        Backing::Memory { offset } => {
            memory.read(*offset, to);
            to.len()
        }
        Backing::File { file, offset } => {
            let len = to.len();
            let reach = reach(file, *offset, len);
            let Some(to) = to.get_mut(..reach) else { return 0 };
            let Ok(done) = file.read_at(to, *offset) else { return 0 };
            // Behind the end, but in its page: zeros, as in the host's mapping.
            if let Some(tail) = to.get_mut(done..) {
                tail.fill(0);
            }
            reach
        }
    }
}

fn write_backing(memory: &MemoryObject, backing: &Backing, from: &[u8]) -> usize {
    match backing {
        Backing::Memory { offset } => {
            memory.write(*offset, from);
            from.len()
        }
        Backing::File { file, offset } => {
            let reach = reach(file, *offset, from.len());
            // A store behind the end must not make the file longer.
            let inside = file.size().unwrap_or(0).saturating_sub(*offset);
            let inside = usize::try_from(inside).unwrap_or(usize::MAX).min(reach);
            let Some(part) = from.get(..inside) else { return 0 };
            match file.write_at(part, *offset) {
                Ok(done) if done == inside => reach,
                Ok(done) => done,
                Err(_) => 0,
            }
        }
    }
}

/// How many of `len` bytes from `offset` lie in pages that the file has.
fn reach(file: &HostFile, offset: u64, len: usize) -> usize {
    let end = file.size().unwrap_or(0).next_multiple_of(abi::PAGE_SIZE);
    usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(len)
}
