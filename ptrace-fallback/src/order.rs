//! Orders to a service thread, and the pages in which they travel.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    fs::{self, MemfdFlags, SealFlags, SeekFrom},
    io, mm,
    thread::futex,
};

use crate::layout::ORDERS_BYTES;

/// Offset of the first order.
pub(crate) const FIRST: usize = 64;
/// Orders of one list at most.
pub(crate) const LIST_MAX: usize = 100;
/// Offset of the bytes that orders may point to.
pub(crate) const BLOB: usize = FIRST + LIST_MAX * size_of::<Order>();
/// Not a call: report the result of the last one.
pub(crate) const REPORT: u64 = u64::MAX;
/// Not a call: copy `arg2` bytes from `arg1` to `arg0`.
pub(crate) const COPY: u64 = u64::MAX - 1;
/// As the wanted result: any will do.
pub(crate) const ANY: u64 = (-12_345_i64).cast_unsigned();

/// A call that the service thread is to make.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Order {
    number: u64,
    args: [u64; 6],
    wanted: u64,
}

impl Order {
    /// Call `number` with `args`, which must give `wanted`.
    pub(crate) fn new<const N: usize>(number: u64, args: [u64; N], wanted: u64) -> Self {
        let mut all = [0; 6];
        for (to, from) in all.iter_mut().zip(args) {
            *to = from;
        }
        Self { number, args: all, wanted }
    }

    /// Report the result of the last call.
    pub(crate) fn report() -> Self {
        Self::new(REPORT, [], ANY)
    }

    /// Copy `len` bytes of the stub's memory.
    pub(crate) fn copy(to: u64, from: u64, len: u64) -> Self {
        Self::new(COPY, [to, from, len], ANY)
    }
}

/// The order pages of one space, as the Sentry has them: writable here, and nowhere else.
#[derive(Debug)]
pub(crate) struct OrderPages {
    file: OwnedFd,
    pages: NonNull<u8>,
    last: u32,
}

// SAFETY: the pages are plain memory; all writing is through `&mut self`.
unsafe impl Send for OrderPages {}
// SAFETY: as above.
unsafe impl Sync for OrderPages {}

impl OrderPages {
    pub(crate) fn new() -> io::Result<Self> {
        let file = fs::memfd_create("orders", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        fs::ftruncate(&file, ORDERS_BYTES as u64)?;
        // SAFETY: a fresh mapping at an address that the host chooses.
        let pages = unsafe {
            mm::mmap(
                std::ptr::null_mut(),
                ORDERS_BYTES,
                mm::ProtFlags::READ | mm::ProtFlags::WRITE,
                mm::MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        let pages = NonNull::new(pages.cast::<u8>()).ok_or(io::Errno::NOMEM)?;
        let this = Self { file, pages, last: 0 };
        // From here on nobody can get another writable mapping of them.
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::FUTURE_WRITE;
        fs::fcntl_add_seals(&this.file, seals)?;
        Ok(this)
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Puts bytes where an order can point to (at `layout::ORDERS + BLOB`).
    pub(crate) fn put_blob(&mut self, bytes: &[u8]) {
        self.put(BLOB, bytes);
    }

    /// Publishes a list and wakes the service thread.
    pub(crate) fn submit(&mut self, orders: &[Order]) {
        let orders = &orders[..orders.len().min(LIST_MAX)];
        for (i, order) in orders.iter().enumerate() {
            let mut bytes = [0; size_of::<Order>()];
            let words = [order.number].into_iter().chain(order.args).chain([order.wanted]);
            for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            self.put(FIRST + i * bytes.len(), &bytes);
        }
        let count = u32::try_from(orders.len()).unwrap_or(0);
        self.put(4, &count.to_le_bytes());
        self.last = self.last.wrapping_add(1);
        self.sequence().store(self.last, Ordering::SeqCst);
        // A sleeper can't announce itself in a page that it can't write: wake always.
        let _ = futex::wake(self.sequence(), futex::Flags::empty(), 1);
    }

    /// What the last [`Order::report`] told: 0 after a failed call.
    pub(crate) fn reported(&self) -> io::Result<i32> {
        let offset = fs::seek(&self.file, SeekFrom::Current(0))?;
        Ok(i32::try_from(offset).unwrap_or(0))
    }

    fn sequence(&self) -> &AtomicU32 {
        // SAFETY: the pages are mapped as long as `self` lives, and page-aligned.
        unsafe { self.pages.cast::<AtomicU32>().as_ref() }
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= ORDERS_BYTES, "orders are made by us and fit");
        // SAFETY: checked just above.
        let to = unsafe { self.pages.add(offset) };
        // SAFETY: the stub reads it only after the sequence number has changed.
        unsafe { to.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len()) };
    }
}

impl Drop for OrderPages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which no reference outlives.
        let _ = unsafe { mm::munmap(self.pages.as_ptr().cast::<c_void>(), ORDERS_BYTES) };
    }
}
