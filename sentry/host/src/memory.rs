//! The memory object: what holds all application memory.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{fs, io, mm};

/// All application memory: one sparse memfd, mapped once, whole, into the Sentry.
///
/// Offsets are bytes from its start. Whoever owns a range (`mm` keeps the books) may access it
/// here; the application may write to it at the same time. An offset beyond the end is a bug of
/// the caller and does nothing.
#[derive(Debug)]
pub struct MemoryObject {
    fd: OwnedFd,
    window: NonNull<u8>,
    size_bytes: u64,
}

// SAFETY: the window is plain shared memory; all access goes through volatile copies and atomics.
unsafe impl Send for MemoryObject {}
// SAFETY: as above.
unsafe impl Sync for MemoryObject {}

impl MemoryObject {
    /// Makes an object of `size_bytes` (sparse: nothing is allocated yet). Calls `memfd_create`,
    /// ftruncate and mmap.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new(size_bytes: u64) -> io::Result<Self> {
        let fd = fs::memfd_create("sandbox-memory", fs::MemfdFlags::CLOEXEC)?;
        fs::ftruncate(&fd, size_bytes)?;
        let len = usize::try_from(size_bytes).map_err(|_| io::Errno::INVAL)?;
        // SAFETY: a fresh mapping at an address that the host chooses; nothing else uses it.
        let window = unsafe {
            mm::mmap(
                std::ptr::null_mut(),
                len,
                mm::ProtFlags::READ | mm::ProtFlags::WRITE,
                mm::MapFlags::SHARED | mm::MapFlags::NORESERVE,
                &fd,
                0,
            )
        }?;
        let window = NonNull::new(window.cast::<u8>()).ok_or(io::Errno::NOMEM)?;
        Ok(Self { fd, window, size_bytes })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Copies out of the object. May wait only if the host swaps.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        if let Some(from) = self.at(offset, to.len()) {
            // SAFETY: `at` checked that `to.len()` bytes from there lie in the window; `to` is a
            // Rust object, so it does not overlap it.
            unsafe { copy_bytes(to.as_mut_ptr(), from.as_ptr(), to.len()) };
        }
    }

    /// Copies into the object.
    pub fn write(&self, offset: u64, from: &[u8]) {
        if let Some(to) = self.at(offset, from.len()) {
            // SAFETY: as in `read`.
            unsafe { copy_bytes(to.as_ptr(), from.as_ptr(), from.len()) };
        }
    }

    /// Copies `len` bytes within the object; the ranges must not overlap.
    pub fn copy(&self, from: u64, to: u64, len: usize) {
        if let (Some(from), Some(to)) = (self.at(from, len), self.at(to, len)) {
            // SAFETY: both ranges lie in the window (`at`).
            unsafe { copy_bytes(to.as_ptr(), from.as_ptr(), len) };
        }
    }

    /// Writes `len` zero bytes.
    pub fn zero(&self, offset: u64, len: usize) {
        if let Some(to) = self.at(offset, len) {
            // SAFETY: the range lies in the window (`at`).
            unsafe { zero_bytes(to.as_ptr(), len) };
        }
    }

    /// Loads the aligned word at `offset` atomically; 0 for an offset that is out of range or
    /// not aligned.
    #[must_use]
    pub fn load_u32(&self, offset: u64) -> u32 {
        self.word(offset).map_or(0, |word| word.load(Ordering::SeqCst))
    }

    /// Compares and exchanges the aligned word at `offset`; returns the old value.
    #[must_use]
    pub fn compare_exchange_u32(&self, offset: u64, expected: u32, new: u32) -> u32 {
        self.word(offset).map_or(!expected, |word| {
            match word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(old) | Err(old) => old,
            }
        })
    }

    /// Gives the pages of a range back to the host; they read as zero afterwards (fallocate).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn decommit(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE;
        fs::fallocate(&self.fd, flags, offset, len)
    }

    fn at(&self, offset: u64, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len as u64)?;
        let start = usize::try_from(offset).ok()?;
        if end > self.size_bytes {
            return None;
        }
        // SAFETY: `start <= end <= size_bytes`, which is the length of the window.
        Some(unsafe { self.window.add(start) })
    }

    fn word(&self, offset: u64) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) {
            return None;
        }
        let word = self.at(offset, 4)?.cast::<AtomicU32>();
        // SAFETY: in the window, aligned (the window is page-aligned), lives as long as `self`,
        // and an atomic may be written by others.
        Some(unsafe { word.as_ref() })
    }
}

impl AsFd for MemoryObject {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for MemoryObject {
    fn drop(&mut self) {
        let len = usize::try_from(self.size_bytes).unwrap_or(0);
        // SAFETY: our own mapping, which no reference outlives.
        let _ = unsafe { mm::munmap(self.window.as_ptr().cast::<c_void>(), len) };
    }
}

/// Copies `count` bytes, even while an application writes to them: assembly, because to the
/// compiler two plain copies would be a data race.
///
/// # Safety
///
/// `src` must be readable and `dst` writable for `count` bytes.
#[cfg(not(miri))]
unsafe fn copy_bytes(dst: *mut u8, src: *const u8, count: usize) {
    // SAFETY: the caller's promise; the ABI keeps the direction flag clear.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") count => _,
            inout("rsi") src => _,
            inout("rdi") dst => _,
            options(nostack, preserves_flags),
        );
    }
}

/// The same for Miri, which knows no assembly and has no application.
///
/// # Safety
///
/// As above.
#[cfg(miri)]
unsafe fn copy_bytes(dst: *mut u8, src: *const u8, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy(src, dst, count) };
}

/// Writes `count` zero bytes.
///
/// # Safety
///
/// `dst` must be writable for `count` bytes.
#[cfg(not(miri))]
unsafe fn zero_bytes(dst: *mut u8, count: usize) {
    // SAFETY: the caller's promise; the ABI keeps the direction flag clear.
    unsafe {
        core::arch::asm!(
            "rep stosb",
            inout("rcx") count => _,
            in("al") 0_u8,
            inout("rdi") dst => _,
            options(nostack, preserves_flags),
        );
    }
}

/// The same for Miri.
///
/// # Safety
///
/// As above.
#[cfg(miri)]
unsafe fn zero_bytes(dst: *mut u8, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::write_bytes(dst, 0, count) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_decommitted_pages_are_zero() {
        let memory = MemoryObject::new(1 << 20).unwrap();
        memory.write(4090, b"across pages");
        let mut back = [0; 12];
        memory.read(4090, &mut back);
        assert_eq!(&back, b"across pages");
        memory.decommit(0, 8192).unwrap();
        memory.read(4090, &mut back);
        assert_eq!(back, [0; 12]);
    }

    #[test]
    fn out_of_range_does_nothing() {
        let memory = MemoryObject::new(8192).unwrap();
        let mut back = [7; 4];
        memory.read(8190, &mut back);
        assert_eq!(back, [7; 4]);
        memory.write(u64::MAX, &back);
        assert_eq!(memory.load_u32(8192), 0);
    }
}
