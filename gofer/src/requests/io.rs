//! Contents of open files.

use p9::{Data, IO_HEADER, Rallocatex, Rfsync, Rread, Rwrite, Tallocatex, Tfsync, Tread, Twrite};
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, OFlags, fallocate, fdatasync, fsync};
use rustix::io::{Errno, pread, pwrite};

use crate::fid::{State, XattrWrite};
use crate::session::Session;

impl Session {
    pub(crate) fn read(&mut self, t: &Tread) -> Result<Rread, Errno> {
        let count = t.count.min(self.msize - IO_HEADER);
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        let fid = self.fids.get(t.fid)?;
        if let State::XattrRead(value) = &fid.state {
            let start = usize::try_from(t.offset).unwrap_or(usize::MAX).min(value.len());
            let end = start.saturating_add(count).min(value.len());
            let part = value.get(start..end).unwrap_or_default();
            return Ok(Rread { data: Data(part.to_vec()) });
        }
        let (file, flags) = fid.file()?;
        if !flags.reads() {
            return Err(Errno::BADF);
        }
        let mut data = Vec::with_capacity(count);
        pread(file, spare_capacity(&mut data), t.offset)?;
        Ok(Rread { data: Data(data) })
    }

    pub(crate) fn write(&mut self, t: &Twrite) -> Result<Rwrite, Errno> {
        let fid = self.fids.get_mut(t.fid)?;
        if let State::XattrWrite(attribute) = &mut fid.state {
            return collect(attribute, t);
        }
        let (file, flags) = fid.file()?;
        if !flags.writes() {
            return Err(Errno::BADF);
        }
        let count = pwrite(file, &t.data, t.offset)?;
        Ok(Rwrite { count: u32::try_from(count).map_err(|_| Errno::OVERFLOW)? })
    }

    /// A fid that is not open is opened for this.
    pub(crate) fn fsync(&mut self, t: &Tfsync) -> Result<Rfsync, Errno> {
        let fid = self.fids.get(t.fid)?;
        let opened;
        let file = match &fid.state {
            State::File(file, _) => file.as_ref(),
            State::Dir(dir) => dir,
            _ => {
                opened = self.tree.proc.open(&fid.node, OFlags::RDONLY)?;
                &opened
            }
        };
        let stored = if t.datasync == 0 { fsync(file) } else { fdatasync(file) };
        stored.map(|()| Rfsync {})
    }

    pub(crate) fn allocatex(&mut self, t: &Tallocatex) -> Result<Rallocatex, Errno> {
        let (file, flags) = self.fids.get(t.fid)?.file()?;
        if !flags.writes() {
            return Err(Errno::BADF);
        }
        fallocate(file, FallocateFlags::from_bits_retain(t.mode), t.offset, t.length)?;
        Ok(Rallocatex {})
    }
}

/// Adds a piece to an extended attribute: in order, and no more than was announced.
fn collect(attribute: &mut XattrWrite, t: &Twrite) -> Result<Rwrite, Errno> {
    let room = attribute.size - attribute.value.len();
    if usize::try_from(t.offset) != Ok(attribute.value.len()) || t.data.len() > room {
        return Err(Errno::INVAL);
    }
    attribute.value.extend_from_slice(&t.data);
    Ok(Rwrite { count: u32::try_from(t.data.len()).map_err(|_| Errno::INVAL)? })
}
