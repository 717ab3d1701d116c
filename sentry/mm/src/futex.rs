//! What a futex is known by.

use abi::{Errno, UserAddr};

use crate::{Identity, MemoryManager};

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

impl MemoryManager {
    /// The key of the futex at `addr`; `private` is `FUTEX_PRIVATE_FLAG`.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` if not aligned.
    pub fn futex_key(&self, addr: UserAddr, private: bool) -> Result<FutexKey, Errno> {
        if !addr.get().is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if addr >= abi::USER_MAX {
            return Err(Errno::EFAULT);
        }
        let of_this = FutexKey::Private { mm: self.id(), addr: addr.get() };
        if private {
            return Ok(of_this);
        }
        let (mappable, offset) = {
            let state = self.state().lock();
            let (area, vma) = state.vmas.segments().at(addr.get()).ok_or(Errno::EFAULT)?;
            match &vma.file {
                Some(file) if vma.shared => {
                    let mappable = std::sync::Arc::clone(&file.mapped.mappable);
                    (mappable, vma.file_offset(area.start, addr.get()))
                }
                _ => return Ok(of_this),
            }
        };
        Ok(FutexKey::Shared { identity: mappable.identity(), offset })
    }
}
