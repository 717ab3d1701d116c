//! Application memory as source and destination of file I/O.

use std::sync::Arc;

use abi::{AddrRange, Errno, UserAddr};
use mm::MemoryManager;
use vfs::{Dst, Src};

/// Ranges of application memory, consumed from the front.
#[derive(Debug)]
struct Ranges {
    mm: Arc<MemoryManager>,
    ranges: Vec<AddrRange>,
    next: usize,
    left: usize,
}

impl Ranges {
    fn new(mm: Arc<MemoryManager>, ranges: Vec<AddrRange>) -> Self {
        let total: u64 = ranges.iter().map(|range| range.len()).sum();
        Self { mm, ranges, next: 0, left: usize::try_from(total).unwrap_or(usize::MAX) }
    }

    /// The next piece, at most `want` bytes; `None` at the end.
    fn piece(&self, want: usize) -> Option<(UserAddr, usize)> {
        let range = self.ranges.get(self.next..)?.iter().find(|range| !range.is_empty())?;
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        Some((range.start, len.min(want)))
    }

    fn advance(&mut self, count: usize) {
        self.left -= count.min(self.left);
        while let Some(range) = self.ranges.get_mut(self.next) {
            if range.is_empty() {
                self.next += 1;
                continue;
            }
            range.start = range.start.wrapping_add(count as u64);
            return;
        }
    }
}

/// Application memory that takes what is read.
#[derive(Debug)]
pub struct UserDst(Ranges);

impl UserDst {
    /// Fills `ranges` of the memory `mm` one after the other.
    #[must_use]
    pub fn new(mm: Arc<MemoryManager>, ranges: Vec<AddrRange>) -> Self {
        Self(Ranges::new(mm, ranges))
    }
}

impl Dst for UserDst {
    fn remaining(&self) -> usize {
        self.0.left
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let Some((addr, len)) = self.0.piece(rest.len()) else { break };
            let copied = self.0.mm.write_partial(addr, rest.get(..len).unwrap_or_default());
            self.0.advance(copied);
            done += copied;
            if copied < len {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

/// Application memory that gives what is written.
#[derive(Debug)]
pub struct UserSrc(Ranges);

impl UserSrc {
    /// Reads `ranges` of the memory `mm` one after the other.
    #[must_use]
    pub fn new(mm: Arc<MemoryManager>, ranges: Vec<AddrRange>) -> Self {
        Self(Ranges::new(mm, ranges))
    }
}

impl Src for UserSrc {
    fn remaining(&self) -> usize {
        self.0.left
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some((addr, len)) = self.0.piece(rest.len()) else { break };
            let copied = self.0.mm.read_partial(addr, rest.get_mut(..len).unwrap_or_default());
            self.0.advance(copied);
            done += copied;
            if copied < len {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}
