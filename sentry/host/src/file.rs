//! Regular host files donated by a Gofer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi::Errno;

/// A regular file of the host, opened by a Gofer and donated to the Sentry.
///
/// It can shrink or change at any moment. Every call here may wait for the disk.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
    writable: bool,
}

impl HostFile {
    /// Takes charge of `fd`; `writable` says whether it was opened for writing.
    #[must_use]
    pub fn new(fd: OwnedFd, writable: bool) -> Self {
        Self { fd, writable }
    }

    /// True if it was opened for writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Reads at `offset` (pread64); fewer bytes than asked only at the end of the file.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<usize, Errno> {
        let wanted = buf.len();
        while !buf.is_empty() {
            match rustix::io::pread(&self.fd, &mut *buf, offset) {
                Ok(0) => break,
                Ok(n) => {
                    buf = buf.get_mut(n..).unwrap_or_default();
                    offset += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) if buf.len() < wanted => break,
                Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
            }
        }
        Ok(wanted - buf.len())
    }

    /// Writes at `offset` (pwrite64); fewer bytes than given only if the host fails part-way.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn write_at(&self, mut buf: &[u8], mut offset: u64) -> Result<usize, Errno> {
        let wanted = buf.len();
        while !buf.is_empty() {
            match rustix::io::pwrite(&self.fd, buf, offset) {
                Ok(0) => break,
                Ok(n) => {
                    buf = buf.get(n..).unwrap_or_default();
                    offset += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) if buf.len() < wanted => break,
                Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
            }
        }
        Ok(wanted - buf.len())
    }

    /// Size in bytes now (fstat).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn size(&self) -> Result<u64, Errno> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Sets the size (ftruncate).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.fd, size).map_err(|e| Errno::from_raw(e.raw_os_error()))
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
