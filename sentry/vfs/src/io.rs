//! Where bytes come from and go to: application memory, or a buffer of the kernel.

use abi::Errno;

/// Takes bytes that are read. A copy to application memory can fault and can take a page fault
/// of the very file that is read: call it with no lock held.
pub trait Dst {
    /// How many bytes are still wanted.
    fn remaining(&self) -> usize;

    /// Hands over bytes (at most `remaining`); returns how many were taken.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not one byte could be stored.
    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno>;
}

/// Gives bytes that are to be written. As for [`Dst`]: call it with no lock held.
pub trait Src {
    /// How many bytes are left.
    fn remaining(&self) -> usize;

    /// Fills the start of `buf`; returns how many bytes were given (0 only when none is left).
    ///
    /// # Errors
    ///
    /// `EFAULT` if not one byte could be loaded.
    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno>;
}

/// A buffer of the kernel as destination.
#[derive(Debug)]
pub struct BytesDst<'a> {
    buf: &'a mut [u8],
    done: usize,
}

impl<'a> BytesDst<'a> {
    /// Writes to `buf` from its start.
    #[must_use]
    pub fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, done: 0 }
    }

    /// Bytes stored so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }
}

impl Dst for BytesDst<'_> {
    fn remaining(&self) -> usize {
        self.buf.len() - self.done
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let room = self.buf.get_mut(self.done..).unwrap_or_default();
        let count = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.done += count;
        Ok(count)
    }
}

/// Bytes of the kernel as source.
#[derive(Debug)]
pub struct BytesSrc<'a>(pub &'a [u8]);

impl Src for BytesSrc<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let count = buf.len().min(self.0.len());
        let (now, later) = self.0.split_at(count);
        for (to, from) in buf.iter_mut().zip(now) {
            *to = *from;
        }
        self.0 = later;
        Ok(count)
    }
}
