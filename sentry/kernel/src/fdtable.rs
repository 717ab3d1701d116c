//! Descriptor tables.

use std::sync::Arc;

use abi::Errno;
use sched::RwLock;
use state::live::Live;
use vfs::{Ctx, LockOwner, LockTable, OpenFile, OwnerId};

/// A descriptor.
#[derive(Clone, Debug, state::Save, state::Load)]
pub struct Slot {
    /// What it refers to.
    pub file: Arc<OpenFile>,
    /// `FD_CLOEXEC`.
    pub close_on_exec: bool,
}

/// The descriptors of one or more tasks (`CLONE_FILES`).
#[derive(Debug, Default, state::Save, state::Load)]
pub struct FdTable {
    slots: RwLock<Slots>,
    lock_owner: OwnerId,
    #[state(skip)]
    _live: Live<Self>,
}

#[derive(Debug, Default, state::Save, state::Load)]
struct Slots {
    by_number: Vec<Option<Slot>>,
    /// No number below is free.
    lowest_free: usize,
}

/// No table grows beyond this (Linux: `/proc/sys/fs/nr_open`).
pub(crate) const FD_MAX: u64 = 1 << 20;

impl FdTable {
    /// The open file of descriptor `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.slot(fd).map(|slot| slot.file)
    }

    /// The open file of descriptor `fd`, unless it was opened with `O_PATH`.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn get_io(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.get(fd).and_then(|file| if file.is_path() { Err(Errno::EBADF) } else { Ok(file) })
    }

    /// Descriptor `fd` with its flag.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn slot(&self, fd: i32) -> Result<Slot, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let slots = self.slots.read();
        slots.by_number.get(index).and_then(Clone::clone).ok_or(Errno::EBADF)
    }

    /// Gives `file` the lowest free number from `min` on that is below `limit`.
    ///
    /// # Errors
    ///
    /// `EMFILE` if there is none.
    pub fn insert(
        &self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        min: u64,
        limit: u64,
    ) -> Result<i32, Errno> {
        let mut slots = self.slots.write();
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        let from = min.max(slots.lowest_free);
        let taken = slots.by_number.iter().skip(from).take_while(|slot| slot.is_some()).count();
        let index = from + taken;
        if index as u64 >= limit.min(FD_MAX) {
            return Err(Errno::EMFILE);
        }
        let fd = i32::try_from(index).map_err(|_| Errno::EMFILE)?;
        if from == slots.lowest_free {
            slots.lowest_free = index + 1;
        }
        file.add_user();
        slots.set(index, Some(Slot { file, close_on_exec }));
        Ok(fd)
    }

    /// True if a number below `limit` is free: for calls that must not take what they could not
    /// hand out (accept(2)).
    #[must_use]
    pub fn has_room(&self, limit: u64) -> bool {
        let slots = self.slots.read();
        let from = slots.lowest_free;
        let taken = slots.by_number.iter().skip(from).take_while(|slot| slot.is_some()).count();
        ((from + taken) as u64) < limit.min(FD_MAX)
    }

    /// Puts `file` at `fd` (dup2(2)); returns what was there, which the caller must release with
    /// [`FdTable::closed`].
    ///
    /// # Errors
    ///
    /// `EBADF` for a number that is negative or not below `limit`.
    pub fn replace(
        &self,
        fd: i32,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if index as u64 >= limit.min(FD_MAX) {
            return Err(Errno::EBADF);
        }
        file.add_user();
        let old = self.slots.write().set(index, Some(Slot { file, close_on_exec }));
        Ok(old.map(|slot| slot.file))
    }

    /// Takes descriptor `fd` out; the caller must release it with [`FdTable::closed`].
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.write();
        if slots.by_number.get(index).is_none_or(Option::is_none) {
            return Err(Errno::EBADF);
        }
        slots.set(index, None).map(|slot| slot.file).ok_or(Errno::EBADF)
    }

    /// Sets or clears `FD_CLOEXEC`.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn set_close_on_exec(&self, fd: i32, on: bool) -> Result<(), Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.write();
        let slot = slots.by_number.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        slot.close_on_exec = on;
        Ok(())
    }

    /// A copy (clone(2) without `CLONE_FILES`).
    #[must_use]
    pub fn duplicate(&self) -> Arc<Self> {
        let slots = self.slots.read();
        for slot in slots.by_number.iter().flatten() {
            slot.file.add_user();
        }
        let copy = Slots { by_number: slots.by_number.clone(), lowest_free: slots.lowest_free };
        let lock_owner = OwnerId::default();
        Arc::new(Self { slots: RwLock::new(copy), lock_owner, _live: Live::new() })
    }

    /// Numbers in use, ascending.
    #[must_use]
    pub fn numbers(&self) -> Vec<i32> {
        let slots = self.slots.read();
        let used = slots.by_number.iter().enumerate().filter(|(_, slot)| slot.is_some());
        used.filter_map(|(index, _)| i32::try_from(index).ok()).collect()
    }

    /// Closes the descriptors for which `which` says so.
    pub fn close_if(&self, fs: &Ctx<'_>, mut which: impl FnMut(i32, &Slot) -> bool) {
        let mut gone = Vec::new();
        {
            let mut slots = self.slots.write();
            for index in 0..slots.by_number.len() {
                let Ok(fd) = i32::try_from(index) else { break };
                let chosen = slots
                    .by_number
                    .get(index)
                    .and_then(Option::as_ref)
                    .is_some_and(|s| which(fd, s));
                if chosen {
                    gone.extend(slots.set(index, None));
                }
            }
        }
        for slot in gone {
            self.closed(fs, &slot.file);
        }
    }

    /// The last task that used the table is gone: closes all.
    pub(crate) fn close_all(self, fs: &Ctx<'_>) {
        let owner = self.lock_owner(fs.mounts.locks());
        let slots = std::mem::take(&mut *self.slots.write());
        for slot in slots.by_number.into_iter().flatten() {
            slot.file.release_locks(fs, owner);
            slot.file.remove_user(fs);
        }
    }

    /// Who holds the record locks of the tasks that share this table.
    #[must_use]
    pub fn lock_owner(&self, locks: &LockTable) -> LockOwner {
        LockOwner::Process(self.lock_owner.get(locks))
    }

    /// Ends a descriptor that was taken out of the table. Closing any descriptor of a file lets go
    /// all record locks that the process holds on it (fcntl(2)).
    pub fn closed(&self, fs: &Ctx<'_>, file: &OpenFile) {
        file.release_locks(fs, self.lock_owner(fs.mounts.locks()));
        file.remove_user(fs);
    }
}

impl Slots {
    fn set(&mut self, index: usize, slot: Option<Slot>) -> Option<Slot> {
        if slot.is_none() {
            self.lowest_free = self.lowest_free.min(index);
        } else if index >= self.by_number.len() {
            self.by_number.resize(index + 1, None);
        }
        self.by_number.get_mut(index).and_then(|place| std::mem::replace(place, slot))
    }
}
