//! The memory of one process.

use std::sync::Arc;

use abi::{AddrRange, Errno, UserAddr};
use platform::{Access, AddressSpace, Platform, Protection};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    Advice, Charge, Copies, Identity, Layout, Limits, MapInfo, MapRequest, Memory, RemapFlags,
    Span, Usage,
};

/// Why a fault can't be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// The mapping forbids it: SIGSEGV, `SEGV_ACCERR`.
    Denied,
    /// The file ends before the page, or could not be read: SIGBUS, `BUS_ADRERR`.
    BeyondEnd,
    /// Only the exact access decides: ask [`platform::Context::exact_access`] and call again.
    NeedExactAccess,
    /// No memory is left: the out-of-memory killer's turn.
    NoMemory,
    /// The address space is lost: kill the process.
    Lost,
}

/// What a futex is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FutexKey {
    /// A word of one address space.
    Private {
        /// [`MemoryManager::id`].
        mm: u64,
        /// The address.
        addr: u64,
    },
    /// A word of something shared.
    Shared {
        /// What.
        identity: Identity,
        /// Offset in it.
        offset: u64,
    },
}

/// The memory of one process (of all tasks that share it).
#[derive(Debug)]
pub struct MemoryManager {
    memory: Arc<Memory>,
    charge: Arc<Charge>,
    space: Arc<dyn AddressSpace>,
    id: u64,
}

macro_rules! skeleton {
    ($($arg:expr),*) => {{ $(let _ = &$arg;)* Err(Errno::ENOSYS) }};
}

impl MemoryManager {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the platform can't make a space.
    pub fn new(
        platform: &Arc<dyn Platform>,
        memory: &Arc<Memory>,
        charge: &Arc<Charge>,
    ) -> Result<Arc<Self>, Errno> {
        let space = platform.new_space().map_err(|_| Errno::ENOMEM)?;
        let id = memory.next_id();
        Ok(Arc::new(Self { memory: Arc::clone(memory), charge: Arc::clone(charge), space, id }))
    }

    /// The address space to run code in.
    #[must_use]
    pub fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    /// The memory its pages come from.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The account that pays for them.
    #[must_use]
    pub fn charge(&self) -> &Arc<Charge> {
        &self.charge
    }

    /// A number that no other address space of the sandbox has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True once the platform lost the address space: the process is to be killed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        false
    }

    /// Sets the layout (exec).
    pub fn set_layout(&self, layout: Layout) {
        let _ = layout;
    }

    /// Sets the limits (exec, setrlimit).
    pub fn set_limits(&self, limits: Limits) {
        let _ = limits;
    }

    /// mmap(2).
    ///
    /// # Errors
    ///
    /// As mmap(2).
    pub fn map(self: &Arc<Self>, request: MapRequest) -> Result<UserAddr, Errno> {
        skeleton!(request)
    }

    /// munmap(2).
    ///
    /// # Errors
    ///
    /// As munmap(2).
    pub fn unmap(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        skeleton!(addr, len)
    }

    /// mprotect(2).
    ///
    /// # Errors
    ///
    /// As mprotect(2).
    pub fn protect(&self, addr: UserAddr, len: u64, protection: Protection) -> Result<(), Errno> {
        skeleton!(addr, len, protection)
    }

    /// mremap(2).
    ///
    /// # Errors
    ///
    /// As mremap(2).
    pub fn remap(
        self: &Arc<Self>,
        addr: UserAddr,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
    ) -> Result<UserAddr, Errno> {
        skeleton!(addr, old_len, new_len, flags)
    }

    /// madvise(2).
    ///
    /// # Errors
    ///
    /// As madvise(2).
    pub fn advise(&self, addr: UserAddr, len: u64, advice: Advice) -> Result<(), Errno> {
        skeleton!(addr, len, advice)
    }

    /// Sets where the heap begins (exec).
    pub fn set_brk_start(&self, addr: UserAddr) {
        let _ = addr;
    }

    /// brk(2): moves the end of the heap if it can, returns where it is.
    pub fn brk(self: &Arc<Self>, addr: UserAddr) -> UserAddr {
        addr
    }

    /// msync(2); `wait` is `MS_SYNC`, `invalidate` is `MS_INVALIDATE`. May wait.
    ///
    /// # Errors
    ///
    /// As msync(2).
    pub fn sync(
        &self,
        addr: UserAddr,
        len: u64,
        wait: bool,
        invalidate: bool,
    ) -> Result<(), Errno> {
        skeleton!(addr, len, wait, invalidate)
    }

    /// mincore(2): one flag per page.
    ///
    /// # Errors
    ///
    /// As mincore(2).
    pub fn resident(&self, addr: UserAddr, len: u64) -> Result<Vec<bool>, Errno> {
        skeleton!(addr, len)
    }

    /// mlock(2); `on_fault` is `MLOCK_ONFAULT`.
    ///
    /// # Errors
    ///
    /// As mlock(2).
    pub fn lock(&self, addr: UserAddr, len: u64, on_fault: bool) -> Result<(), Errno> {
        skeleton!(addr, len, on_fault)
    }

    /// munlock(2).
    ///
    /// # Errors
    ///
    /// As munlock(2).
    pub fn unlock(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        skeleton!(addr, len)
    }

    /// mlockall(2).
    ///
    /// # Errors
    ///
    /// As mlockall(2).
    pub fn lock_all(&self, current: bool, future: bool, on_fault: bool) -> Result<(), Errno> {
        skeleton!(current, future, on_fault)
    }

    /// munlockall(2).
    pub fn unlock_all(&self) {}

    /// Repairs a fault, if the mapping allows the access. May wait.
    ///
    /// # Errors
    ///
    /// See [`Fault`].
    pub fn fault(&self, addr: UserAddr, access: Access) -> Result<(), Fault> {
        let _ = (addr, access);
        Err(Fault::NotMapped)
    }

    /// Makes a copy for a child: private pages are shared until one of both writes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        skeleton!()
    }

    /// Copies all of `to` from application memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be read.
    pub fn read(&self, addr: UserAddr, to: &mut [u8]) -> Result<(), Errno> {
        skeleton!(addr, to)
    }

    /// Copies all of `from` to application memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be written.
    pub fn write(&self, addr: UserAddr, from: &[u8]) -> Result<(), Errno> {
        skeleton!(addr, from)
    }

    /// As [`Self::read`]; returns how many bytes were copied before the first that can't be read.
    #[must_use]
    pub fn read_partial(&self, addr: UserAddr, to: &mut [u8]) -> usize {
        let _ = (addr, to);
        0
    }

    /// As [`Self::write`]; returns how many bytes were copied before the first that can't be
    /// written.
    #[must_use]
    pub fn write_partial(&self, addr: UserAddr, from: &[u8]) -> usize {
        let _ = (addr, from);
        0
    }

    /// Writes `len` zero bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be written.
    pub fn zero(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        skeleton!(addr, len)
    }

    /// Reads a string, without its final zero byte.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `ENAMETOOLONG` if the zero byte is not among the first `max` bytes.
    pub fn read_string(&self, addr: UserAddr, max: usize) -> Result<Vec<u8>, Errno> {
        skeleton!(addr, max)
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn read_value<T: FromBytes + IntoBytes>(&self, addr: UserAddr) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.read(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn write_value<T: IntoBytes + zerocopy::Immutable>(
        &self,
        addr: UserAddr,
        value: &T,
    ) -> Result<(), Errno> {
        self.write(addr, value.as_bytes())
    }

    /// Reads an array of `struct iovec`.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` for more than 1024 of them or a negative length.
    pub fn read_iovecs(&self, addr: UserAddr, count: u64) -> Result<Vec<AddrRange>, Errno> {
        skeleton!(addr, count)
    }

    /// Loads an aligned word atomically.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn load_u32(&self, addr: UserAddr) -> Result<u32, Errno> {
        skeleton!(addr)
    }

    /// Compares and exchanges an aligned word; returns the old value.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn compare_exchange_u32(&self, addr: UserAddr, old: u32, new: u32) -> Result<u32, Errno> {
        skeleton!(addr, old, new)
    }

    /// The key of the futex at `addr`; `private` is `FUTEX_PRIVATE_FLAG`.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn futex_key(&self, addr: UserAddr, private: bool) -> Result<FutexKey, Errno> {
        skeleton!(addr, private)
    }

    /// All mappings, in order of their addresses.
    #[must_use]
    pub fn maps(&self) -> Vec<MapInfo> {
        Vec::new()
    }

    /// The sums.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    pub(crate) fn invalidate(&self, id: u64, file_range: Span, copies: Copies) {
        let _ = (id, file_range, copies);
    }
}
