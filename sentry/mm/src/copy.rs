//! Copies between the kernel and application memory.

use abi::{AddrRange, Errno, PAGE_SIZE, USER_MAX, USER_MIN, UserAddr};
use platform::Access;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::MemoryManager;

/// How often a repaired fault may repeat at the same place: another task can take the page away
/// again, or a host file can have shrunk behind its mapping.
const MAX_RETRIES: usize = 32;

/// The most vectors of one call (`UIO_MAXIOV`).
const MAX_IOVECS: u64 = 1024;

/// The most bytes of one call (`MAX_RW_COUNT` in Linux).
const MAX_BYTES: u64 = 0x7fff_f000;

/// Bytes that are zeroed at once.
const ZEROES: usize = 4096;

impl MemoryManager {
    /// Copies all of `to` from application memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be read.
    pub fn read(&self, addr: UserAddr, to: &mut [u8]) -> Result<(), Errno> {
        let wanted = to.len();
        all(self.read_partial(addr, to), wanted)
    }

    /// Copies all of `from` to application memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be written.
    pub fn write(&self, addr: UserAddr, from: &[u8]) -> Result<(), Errno> {
        all(self.write_partial(addr, from), from.len())
    }

    /// As [`Self::read`]; returns how many bytes were copied before the first that can't be read.
    #[must_use]
    pub fn read_partial(&self, addr: UserAddr, to: &mut [u8]) -> usize {
        self.copy_loop(addr, to.len(), Access::Read, |at, done| {
            to.get_mut(done..).map_or(0, |to| self.space().copy_in(at, to))
        })
    }

    /// As [`Self::write`]; returns how many bytes were copied before the first that can't be
    /// written.
    #[must_use]
    pub fn write_partial(&self, addr: UserAddr, from: &[u8]) -> usize {
        self.copy_loop(addr, from.len(), Access::Write, |at, done| {
            from.get(done..).map_or(0, |from| self.space().copy_out(at, from))
        })
    }

    /// Writes `len` zero bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all of it could be written.
    pub fn zero(&self, addr: UserAddr, len: u64) -> Result<(), Errno> {
        let zeroes = [0; ZEROES];
        let mut done = 0;
        while done < len {
            let part = usize::try_from(len - done).unwrap_or(zeroes.len()).min(zeroes.len());
            let at = addr.checked_add(done).ok_or(Errno::EFAULT)?;
            self.write(at, zeroes.get(..part).unwrap_or(&zeroes))?;
            done += part as u64;
        }
        Ok(())
    }

    /// Reads a string, without its final zero byte.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `ENAMETOOLONG` if the zero byte is not among the first `max` bytes.
    pub fn read_string(&self, addr: UserAddr, max: usize) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        // Most strings are short and none must fail because of what follows it: never beyond the
        // page that is being read.
        let mut chunk = [0; 256];
        while string.len() < max {
            let at = addr.checked_add(string.len() as u64).ok_or(Errno::EFAULT)?;
            let to_page_end = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let len = chunk.len().min(max - string.len()).min(to_page_end);
            let Some(part) = chunk.get_mut(..len) else { break };
            self.read(at, part)?;
            if let Some(end) = part.iter().position(|byte| *byte == 0) {
                string.extend(part.iter().take(end));
                return Ok(string);
            }
            string.extend_from_slice(part);
        }
        Err(Errno::ENAMETOOLONG)
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
    pub fn write_value<T: IntoBytes + Immutable + ?Sized>(
        &self,
        addr: UserAddr,
        value: &T,
    ) -> Result<(), Errno> {
        self.write(addr, value.as_bytes())
    }

    /// Reads an array of `struct iovec`. The lengths are cut so that their sum is at most
    /// 0x7ffff000, as Linux does.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` for more than 1024 of them or a negative length.
    pub fn read_iovecs(&self, addr: UserAddr, count: u64) -> Result<Vec<AddrRange>, Errno> {
        if count > MAX_IOVECS {
            return Err(Errno::EINVAL);
        }
        let mut raw = vec![[0_u64; 2]; usize::try_from(count).unwrap_or(0)];
        self.read(addr, raw.as_mut_bytes())?;
        let mut left = MAX_BYTES;
        let mut ranges = Vec::with_capacity(raw.len());
        for [base, len] in raw {
            if len > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            let base = UserAddr::new(base);
            let whole = base.range(len).filter(|whole| whole.end <= USER_MAX || len == 0);
            let start = whole.ok_or(Errno::EFAULT)?.start;
            let len = len.min(left);
            left -= len;
            ranges.push(start.range(len).ok_or(Errno::EFAULT)?);
        }
        Ok(ranges)
    }

    /// Loads an aligned word atomically.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn load_u32(&self, addr: UserAddr) -> Result<u32, Errno> {
        self.word_loop(addr, Access::Read, || self.space().load(addr))
    }

    /// Compares and exchanges an aligned word; returns the old value.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn compare_exchange_u32(&self, addr: UserAddr, old: u32, new: u32) -> Result<u32, Errno> {
        self.word_loop(addr, Access::Write, || self.space().compare_exchange(addr, old, new))
    }

    /// Copies on until all of `len` bytes are done or a fault can't be repaired. `copy` is given
    /// the address and how many bytes are done, and returns how many more it did.
    fn copy_loop(
        &self,
        addr: UserAddr,
        len: usize,
        access: Access,
        mut copy: impl FnMut(UserAddr, usize) -> usize,
    ) -> usize {
        if !in_user_range(addr, len as u64) {
            return 0;
        }
        let (mut done, mut retries) = (0, 0);
        while done < len {
            let at = addr.wrapping_add(done as u64);
            let more = copy(at, done).min(len - done);
            if more > 0 {
                (done, retries) = (done + more, 0);
                continue;
            }
            retries += 1;
            if retries > MAX_RETRIES || self.fault(at, access).is_err() {
                break;
            }
        }
        done
    }

    fn word_loop(
        &self,
        addr: UserAddr,
        access: Access,
        mut word: impl FnMut() -> Option<u32>,
    ) -> Result<u32, Errno> {
        if !addr.get().is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if !in_user_range(addr, 4) {
            return Err(Errno::EFAULT);
        }
        for _ in 0..MAX_RETRIES {
            if let Some(value) = word() {
                return Ok(value);
            }
            self.fault(addr, access).map_err(|_| Errno::EFAULT)?;
        }
        Err(Errno::EFAULT)
    }
}

fn in_user_range(addr: UserAddr, len: u64) -> bool {
    len > 0 && addr >= USER_MIN && addr.checked_add(len).is_some_and(|end| end <= USER_MAX)
}

fn all(done: usize, wanted: usize) -> Result<(), Errno> {
    if done == wanted { Ok(()) } else { Err(Errno::EFAULT) }
}
