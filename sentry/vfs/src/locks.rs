//! Locks on files: record locks of processes and of open file descriptions (fcntl(2)), and whole
//! files (flock(2)).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use abi::Errno;
use sched::{Fiber, Mutex, WaitQueue, Wake};

/// Which file: device and inode number.
pub type FileKey = (u64, u64);

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, state::Save, state::Load)]
pub enum LockOwner {
    /// A process, by its descriptor table: closing any descriptor of the file lets all go.
    Process(u64),
    /// An open file description.
    Description(u64),
}

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub enum LockKind {
    /// `F_RDLCK`, `LOCK_SH`.
    Read,
    /// `F_WRLCK`, `LOCK_EX`.
    Write,
}

/// A record lock, or the wish for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct FileLock {
    /// Who.
    pub owner: LockOwner,
    /// As `F_GETLK` tells: the process, or -1 for a description.
    pub pid: i32,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// First byte.
    pub start: u64,
    /// First byte beyond (`u64::MAX`: to the end, wherever it will be).
    pub end: u64,
}

impl FileLock {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn conflicts(&self, other: &Self) -> bool {
        let exclusive = self.kind == LockKind::Write || other.kind == LockKind::Write;
        self.owner != other.owner && exclusive && self.overlaps(other)
    }
}

/// The locks of one file.
#[derive(Debug, Default, state::Save, state::Load)]
struct FileLocks {
    records: Vec<FileLock>,
    whole: Vec<FileLock>,
    queue: Arc<WaitQueue>,
}

/// Two kinds of locks that do not see one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockSpace {
    /// fcntl(2).
    Records,
    /// flock(2).
    Whole,
}

impl FileLocks {
    fn space(&mut self, space: LockSpace) -> &mut Vec<FileLock> {
        match space {
            LockSpace::Records => &mut self.records,
            LockSpace::Whole => &mut self.whole,
        }
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.whole.is_empty()
    }
}

/// All locks of a sandbox.
#[derive(Debug, Default, state::Save, state::Load)]
pub struct LockTable {
    files: Mutex<BTreeMap<FileKey, FileLocks>>,
    /// Who waits for whom, to see circles.
    #[state(skip)]
    waiting: Mutex<BTreeMap<LockOwner, LockOwner>>,
    count: AtomicUsize,
    last_owner: AtomicU64,
}

/// The number of an owner of locks, given when it is first asked for.
#[derive(Debug, Default, state::Save, state::Load)]
pub struct OwnerId(AtomicU64);

impl OwnerId {
    /// The number, which no other owner of `locks` has.
    #[must_use]
    pub fn get(&self, locks: &LockTable) -> u64 {
        let known = self.0.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let new = locks.last_owner.fetch_add(1, Ordering::Relaxed) + 1;
        match self.0.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(known) => known,
        }
    }
}

/// Most locks of a sandbox.
const LOCKS_MAX: usize = 100_000;

impl LockTable {
    /// True if there is no lock at all: closing a file then has nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The first lock that stands against `wish`.
    #[must_use]
    pub fn conflict(&self, key: FileKey, space: LockSpace, wish: &FileLock) -> Option<FileLock> {
        let mut files = self.files.lock();
        let held = files.get_mut(&key)?.space(space);
        held.iter().filter(|lock| lock.conflicts(wish)).min_by_key(|lock| lock.start).copied()
    }

    /// Takes a lock, replacing what its owner holds there; waits for it if `fiber` is given.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if another stands against it, `EDEADLK` if waiting would close a circle,
    /// `ERESTARTSYS` when interrupted, `ENOLCK` if there are too many.
    pub fn set(
        &self,
        key: FileKey,
        space: LockSpace,
        lock: FileLock,
        fiber: Option<&Fiber<'_>>,
    ) -> Result<(), Errno> {
        loop {
            let Err((other, queue)) = self.try_set(key, space, lock)? else { return Ok(()) };
            let Some(fiber) = fiber else { return Err(Errno::EAGAIN) };
            if space == LockSpace::Records {
                self.check_circle(lock.owner, other)?;
            }
            let free = || self.conflict(key, space, &lock).is_none().then_some(());
            let result = sched::wait_until(fiber, &[&queue], 1, None, free);
            self.waiting.lock().remove(&lock.owner);
            match result {
                Ok(()) => {}
                Err(Wake::Woken | Wake::TimedOut | Wake::Interrupted | Wake::Stopping) => {
                    return Err(Errno::ERESTARTSYS);
                }
            }
        }
    }

    /// `Err` inside `Ok`: who stands against it, and where to wait.
    fn try_set(
        &self,
        key: FileKey,
        space: LockSpace,
        lock: FileLock,
    ) -> Result<Result<(), (LockOwner, Arc<WaitQueue>)>, Errno> {
        let queue = {
            let mut files = self.files.lock();
            let file = files.entry(key).or_default();
            let queue = file.queue.clone();
            let held = file.space(space);
            if let Some(other) = held.iter().find(|other| other.conflicts(&lock)) {
                return Ok(Err((other.owner, queue)));
            }
            if self.count.load(Ordering::Relaxed) >= LOCKS_MAX {
                return Err(Errno::ENOLCK);
            }
            let before = held.len();
            cut(held, &lock);
            held.push(lock);
            merge(held, lock.owner);
            self.recount(before, held.len());
            queue
        };
        // A lock that became weaker may let others in.
        queue.notify(1);
        Ok(Ok(()))
    }

    /// Lets go what `range.owner` holds in the range.
    pub fn unlock(&self, key: FileKey, space: LockSpace, range: &FileLock) {
        let queue = {
            let mut files = self.files.lock();
            let Some(file) = files.get_mut(&key) else { return };
            let queue = file.queue.clone();
            let held = file.space(space);
            let before = held.len();
            cut(held, range);
            self.recount(before, held.len());
            if file.is_empty() {
                files.remove(&key);
            }
            queue
        };
        queue.notify(1);
    }

    /// Lets go all that `owner` holds on a file.
    pub fn release(&self, key: FileKey, owner: LockOwner) {
        for space in [LockSpace::Records, LockSpace::Whole] {
            let kind = LockKind::Read;
            let all = FileLock { owner, pid: 0, kind, start: 0, end: u64::MAX };
            self.unlock(key, space, &all);
        }
    }

    fn recount(&self, before: usize, after: usize) {
        if after >= before {
            self.count.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.count.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn check_circle(&self, owner: LockOwner, waits_for: LockOwner) -> Result<(), Errno> {
        let mut waiting = self.waiting.lock();
        let mut at = Some(waits_for);
        while let Some(other) = at {
            if other == owner {
                return Err(Errno::EDEADLK);
            }
            at = waiting.get(&other).copied();
        }
        waiting.insert(owner, waits_for);
        Ok(())
    }
}

/// Takes the range of `range` out of the locks of its owner.
fn cut(held: &mut Vec<FileLock>, range: &FileLock) {
    let mut rest = Vec::new();
    held.retain(|lock| {
        if lock.owner != range.owner || !lock.overlaps(range) {
            return true;
        }
        if lock.start < range.start {
            rest.push(FileLock { end: range.start, ..*lock });
        }
        if lock.end > range.end {
            rest.push(FileLock { start: range.end, ..*lock });
        }
        false
    });
    held.extend(rest);
}

/// Joins neighbouring locks of one owner and kind.
fn merge(held: &mut Vec<FileLock>, owner: LockOwner) {
    let mut own: Vec<FileLock> = held.iter().filter(|lock| lock.owner == owner).copied().collect();
    held.retain(|lock| lock.owner != owner);
    own.sort_by_key(|lock| lock.start);
    for lock in own {
        match held.last_mut() {
            Some(last)
                if last.owner == owner && last.kind == lock.kind && last.end == lock.start =>
            {
                last.end = lock.end;
            }
            _ => held.push(lock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FileKey = (1, 2);

    fn lock(owner: u64, kind: LockKind, start: u64, end: u64) -> FileLock {
        FileLock { owner: LockOwner::Process(owner), pid: 1, kind, start, end }
    }

    fn set(table: &LockTable, lock: FileLock) -> Result<(), Errno> {
        table.set(KEY, LockSpace::Records, lock, None)
    }

    #[test]
    fn readers_share_and_a_writer_excludes() {
        let table = LockTable::default();
        assert_eq!(set(&table, lock(1, LockKind::Read, 0, 10)), Ok(()));
        assert_eq!(set(&table, lock(2, LockKind::Read, 5, 15)), Ok(()));
        assert_eq!(set(&table, lock(3, LockKind::Write, 9, 10)), Err(Errno::EAGAIN));
        assert_eq!(set(&table, lock(3, LockKind::Write, 15, 20)), Ok(()));
    }

    #[test]
    fn unlocking_the_middle_leaves_both_ends() {
        let table = LockTable::default();
        set(&table, lock(1, LockKind::Write, 0, u64::MAX)).unwrap();
        table.unlock(KEY, LockSpace::Records, &lock(1, LockKind::Read, 10, 20));
        assert_eq!(set(&table, lock(2, LockKind::Write, 10, 20)), Ok(()));
        assert_eq!(set(&table, lock(2, LockKind::Write, 9, 10)), Err(Errno::EAGAIN));
        assert_eq!(set(&table, lock(2, LockKind::Write, 20, 21)), Err(Errno::EAGAIN));
    }

    #[test]
    fn flock_and_records_do_not_see_one_another_and_all_are_released() {
        let table = LockTable::default();
        set(&table, lock(1, LockKind::Write, 0, 10)).unwrap();
        let whole =
            FileLock { owner: LockOwner::Description(9), ..lock(0, LockKind::Write, 0, u64::MAX) };
        assert_eq!(table.set(KEY, LockSpace::Whole, whole, None), Ok(()));
        table.release(KEY, LockOwner::Process(1));
        table.release(KEY, LockOwner::Description(9));
        assert!(table.is_empty());
    }

    #[test]
    fn neighbouring_locks_of_one_owner_become_one() {
        let table = LockTable::default();
        for start in [0, 20, 10] {
            set(&table, lock(1, LockKind::Read, start, start + 10)).unwrap();
        }
        assert_eq!(table.count.load(Ordering::Relaxed), 1);
        let found = table.conflict(KEY, LockSpace::Records, &lock(2, LockKind::Write, 5, 6));
        assert_eq!(found.map(|lock| (lock.start, lock.end)), Some((0, 30)));
    }
}
