//! Regular host files donated by a Gofer.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use abi::{Errno, Timespec};
use rustix::io::ReadWriteFlags;

/// A regular file of the host, opened by a Gofer and donated to the Sentry.
///
/// It can shrink or change at any moment. Every call here may wait for the disk.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
    writable: bool,
}

/// What changes about a regular file while it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// Size in bytes.
    pub size: u64,
    /// Units of 512 bytes in use.
    pub blocks: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Number of names.
    pub nlink: u32,
    /// Last access.
    pub atime: Timespec,
    /// Last change of the contents.
    pub mtime: Timespec,
    /// Last change of anything.
    pub ctime: Timespec,
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

    /// Reads what the host has in memory at `offset`, without waiting for the disk (preadv2 with
    /// `RWF_NOWAIT`); 0 means the end of the file.
    ///
    /// # Errors
    ///
    /// EAGAIN if it would have to wait, EOPNOTSUPP if its file system can't tell, or what else
    /// the host says.
    pub fn read_cached(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let parts = &mut [IoSliceMut::new(buf)];
        loop {
            match rustix::io::preadv2(&self.fd, parts, offset, ReadWriteFlags::NOWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(|e| Errno::from_raw(e.raw_os_error())),
            }
        }
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

    /// Size, mode, links and times now (fstat). Not the owner: the Sentry lives in a user namespace
    /// where the host's users have no numbers.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn status(&self) -> Result<HostStatus, Errno> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
        let time = |sec: i64, nsec: u64| Timespec { sec, nsec: i64::try_from(nsec).unwrap_or(0) };
        Ok(HostStatus {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            mode: stat.st_mode,
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// Waits until what was written is stored (fsync, or fdatasync if `data_only`).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn sync(&self, data_only: bool) -> Result<(), Errno> {
        let done = match data_only {
            true => rustix::fs::fdatasync(&self.fd),
            false => rustix::fs::fsync(&self.fd),
        };
        done.map_err(|e| Errno::from_raw(e.raw_os_error()))
    }

    /// Gives space to a range or makes a hole, as fallocate(2) does with the bits `mode`.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP for a mode that its file system does not have, or what else the host says.
    pub fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let mode = rustix::fs::FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        rustix::fs::fallocate(&self.fd, mode, offset, len)
            .map_err(|e| Errno::from_raw(e.raw_os_error()))
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
