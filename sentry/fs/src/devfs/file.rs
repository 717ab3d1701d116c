//! The memory devices.

use std::{any::Any, sync::Arc};

use abi::{Errno, PAGE_SIZE};
use mm::{Charge, Mappable, Memory, SharedMemory};
use vfs::{Ctx, Dst, File, Inode, Src};

use crate::{Device, Shared, base::read_chunks};

/// Which memory device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Kind {
    /// Takes all, gives nothing.
    Null,
    /// Takes all, gives zeroes.
    Zero,
    /// Takes nothing, gives zeroes.
    Full,
    /// Gives random bytes; what it takes does not matter.
    Random,
}

/// A memory device, and each open file of it.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct MemoryDevice {
    kind: Kind,
    memory: Arc<Memory>,
    charge: Arc<Charge>,
}

impl MemoryDevice {
    pub(super) fn new(kind: Kind, shared: &Shared) -> Self {
        let (memory, charge) = (Arc::clone(shared.memory()), Arc::clone(shared.charge()));
        Self { kind, memory, charge }
    }
}

impl Device for MemoryDevice {
    fn open(
        self: Arc<Self>,
        _cx: &Ctx<'_>,
        _inode: Arc<dyn Inode>,
        _flags: u32,
    ) -> Result<Arc<dyn File>, Errno> {
        Ok(self)
    }
}

impl File for MemoryDevice {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        match self.kind {
            Kind::Null => Ok(0),
            // The buffer is zeroed, and stays so.
            Kind::Zero | Kind::Full => read_chunks(dst, 0, u64::MAX, |_, to| Ok(to.len())),
            Kind::Random => read_chunks(dst, 0, u64::MAX, |_, to| {
                host::random(to);
                Ok(to.len())
            }),
        }
    }

    fn write(&self, _cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        // As on Linux the bytes are not even looked at.
        match self.kind {
            Kind::Full => Err(Errno::ENOSPC),
            _ => Ok(src.remaining()),
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self, _cx: &Ctx<'_>) -> Result<u64, Errno> {
        Ok(0)
    }

    /// `/dev/zero` maps as fresh memory without a name; each mapping has its own.
    fn mappable(&self, _cx: &Ctx<'_>, _writable: bool) -> Result<Arc<dyn Mappable>, Errno> {
        if self.kind != Kind::Zero {
            return Err(Errno::ENODEV);
        }
        let size = i64::MAX.cast_unsigned() & !(PAGE_SIZE - 1);
        Ok(SharedMemory::new(&self.memory, &self.charge, size, "/dev/zero".to_owned()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
