//! Futexes (futex(2)).
//!
//! A waiter is a node in the bucket of its key. Whoever takes the node out of the bucket, under
//! the bucket's lock, decides how the wait ends: a waker marks it woken, a waiter that timed out
//! or was interrupted removes itself. So each wait ends exactly once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use abi::{Errno, UserAddr};
use mm::{FutexKey, MemoryManager};
use sched::{Entity, Mutex, Wait, Wake};

use crate::Cx;

/// `FUTEX_WAITERS`: somebody waits for the robust or PI futex.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// `FUTEX_OWNER_DIED`.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// `FUTEX_TID_MASK`.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// Longest robust list that is followed (Linux: `ROBUST_LIST_LIMIT`).
const ROBUST_LIST_MAX: usize = 2048;
/// Wakes by any of these bits (`FUTEX_BITSET_MATCH_ANY`).
pub const BITSET_ANY: u32 = u32::MAX;

#[derive(Debug)]
struct Waiter {
    entity: Arc<Entity>,
    woken: AtomicBool,
    key: Mutex<FutexKey>,
    bitset: u32,
}

/// Who waits for which futex.
#[derive(Debug, Default)]
pub struct FutexTable {
    queues: Mutex<BTreeMap<FutexKey, VecDeque<Arc<Waiter>>>>,
}

/// Why a wait ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Woken by another task.
    Woken,
    /// The time-out came.
    TimedOut,
    /// A signal, or the stop of the sandbox.
    Interrupted,
}

impl FutexTable {
    /// Waits at `addr` while it holds `value`, for a wake by one of `bitset`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it holds another value, `EFAULT`, `EINVAL` if it is not aligned.
    pub fn wait(
        &self,
        cx: &Cx<'_>,
        addr: UserAddr,
        value: u32,
        private: bool,
        bitset: u32,
        deadline_ns: Option<u64>,
    ) -> Result<Waited, Errno> {
        let key = cx.mm.futex_key(addr, private)?;
        let waiter = self.enqueue(cx, key, bitset);
        match cx.mm.load_u32(addr) {
            Ok(now) if now == value => {}
            result => {
                self.remove(&waiter);
                return match result {
                    // A waker that was faster has taken us for a waiter: then we were one.
                    _ if waiter.woken.load(Ordering::SeqCst) => Ok(Waited::Woken),
                    Ok(_) => Err(Errno::EAGAIN),
                    Err(errno) => Err(errno),
                };
            }
        }
        Ok(self.block(cx, &waiter, deadline_ns))
    }

    fn enqueue(&self, cx: &Cx<'_>, key: FutexKey, bitset: u32) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            entity: cx.fiber.entity().clone(),
            woken: AtomicBool::new(false),
            key: Mutex::new(key),
            bitset,
        });
        self.queues.lock().entry(key).or_default().push_back(waiter.clone());
        waiter
    }

    fn block(&self, cx: &Cx<'_>, waiter: &Arc<Waiter>, deadline_ns: Option<u64>) -> Waited {
        loop {
            let wake = cx.fiber.block(Wait { deadline_ns, interruptible: true });
            if waiter.woken.load(Ordering::SeqCst) {
                return Waited::Woken;
            }
            if wake == Wake::Woken {
                continue;
            }
            if !self.remove(waiter) {
                return Waited::Woken;
            }
            return if wake == Wake::TimedOut { Waited::TimedOut } else { Waited::Interrupted };
        }
    }

    /// Takes a waiter out; false if a waker was faster.
    fn remove(&self, waiter: &Arc<Waiter>) -> bool {
        let mut queues = self.queues.lock();
        let key = *waiter.key.lock();
        let Some(queue) = queues.get_mut(&key) else { return false };
        let Some(at) = queue.iter().position(|other| Arc::ptr_eq(other, waiter)) else {
            return false;
        };
        queue.remove(at);
        if queue.is_empty() {
            queues.remove(&key);
        }
        true
    }

    /// Wakes at most `count` waiters at `key` that wait for one of `bitset`; returns how many.
    pub fn wake(&self, key: &FutexKey, count: u32, bitset: u32) -> u32 {
        let mut woken = Vec::new();
        {
            let mut queues = self.queues.lock();
            let Some(queue) = queues.get_mut(key) else { return 0 };
            let mut at = 0;
            while let Some(waiter) = queue.get(at) {
                if woken.len() as u64 >= u64::from(count) {
                    break;
                }
                if waiter.bitset & bitset == 0 {
                    at += 1;
                    continue;
                }
                if let Some(waiter) = queue.remove(at) {
                    waiter.woken.store(true, Ordering::SeqCst);
                    woken.push(waiter);
                }
            }
            if queue.is_empty() {
                queues.remove(key);
            }
        }
        for waiter in &woken {
            waiter.entity.wake();
        }
        u32::try_from(woken.len()).unwrap_or(u32::MAX)
    }

    /// Wakes waiters at an address, private and shared ones (for the kernel's own wakes).
    pub fn wake_addr(&self, mm: &MemoryManager, addr: UserAddr, count: u32) {
        for private in [true, false] {
            if let Ok(key) = mm.futex_key(addr, private) {
                self.wake(&key, count, BITSET_ANY);
            }
        }
    }

    /// Wakes at most `wake` waiters of `from` and moves at most `move_count` others to `to`;
    /// returns (woken, moved). With `check`, only if the word at the address still has the value:
    /// a word that changes in between is seen by the moved waiters' own protocol, as on Linux.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the word holds another value.
    pub fn requeue(
        &self,
        cx: &Cx<'_>,
        (from, from_addr): (&FutexKey, UserAddr),
        to: &FutexKey,
        (wake, move_count): (u32, u32),
        check: Option<u32>,
    ) -> Result<(u32, u32), Errno> {
        if let Some(value) = check
            && cx.mm.load_u32(from_addr)? != value
        {
            return Err(Errno::EAGAIN);
        }
        let woken = self.wake(from, wake, BITSET_ANY);
        if from == to {
            return Ok((woken, 0));
        }
        let mut moved = 0;
        let mut queues = self.queues.lock();
        while moved < move_count {
            let Some(waiter) = queues.get_mut(from).and_then(VecDeque::pop_front) else { break };
            *waiter.key.lock() = *to;
            queues.entry(*to).or_default().push_back(waiter);
            moved += 1;
        }
        if queues.get(from).is_some_and(VecDeque::is_empty) {
            queues.remove(from);
        }
        Ok((woken, moved))
    }

    /// Waits for a wake at any of several words (`futex_waitv(2)`); returns the index.
    ///
    /// # Errors
    ///
    /// As [`FutexTable::wait`]; `ETIMEDOUT`, `ERESTARTSYS`.
    pub fn wait_any(
        &self,
        cx: &Cx<'_>,
        words: &[(UserAddr, u32, bool)],
        deadline_ns: Option<u64>,
    ) -> Result<usize, Errno> {
        let mut waiters = Vec::new();
        let mut failure = None;
        for (addr, value, private) in words {
            let key = match cx.mm.futex_key(*addr, *private) {
                Ok(key) => key,
                Err(errno) => {
                    failure = Some(errno);
                    break;
                }
            };
            waiters.push(self.enqueue(cx, key, BITSET_ANY));
            match cx.mm.load_u32(*addr) {
                Ok(now) if now == *value => {}
                Ok(_) => failure = Some(Errno::EAGAIN),
                Err(errno) => failure = Some(errno),
            }
            if failure.is_some() {
                break;
            }
        }
        let mut end = failure;
        while end.is_none() && !waiters.iter().any(|w| w.woken.load(Ordering::SeqCst)) {
            end = match cx.fiber.block(Wait { deadline_ns, interruptible: true }) {
                Wake::Woken => None,
                Wake::TimedOut => Some(Errno::ETIMEDOUT),
                Wake::Interrupted | Wake::Stopping => Some(Errno::ERESTARTSYS),
            };
        }
        for waiter in &waiters {
            self.remove(waiter);
        }
        let woken = waiters.iter().position(|w| w.woken.load(Ordering::SeqCst));
        woken.ok_or(end.unwrap_or(Errno::EAGAIN))
    }

    /// How many tasks wait, for the tests' counters.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.queues.lock().values().map(VecDeque::len).sum()
    }

    /// Walks the robust list of an ending task (`set_robust_list(2)`): marks its futexes
    /// "owner died" and wakes one waiter of each. The list lies in application memory: it may be
    /// forged, endless or gone.
    pub(crate) fn release_robust(&self, cx: &Cx<'_>) {
        let head = cx.task.robust_list.swap(0, Ordering::Relaxed);
        if head == 0 {
            return;
        }
        let word = |addr: u64| cx.mm.read_value::<u64>(UserAddr::new(addr)).ok();
        let Some(offset) = word(head.wrapping_add(8)) else { return };
        let pending = word(head.wrapping_add(16)).unwrap_or(0);
        let mut entry = word(head).unwrap_or(head);
        for _ in 0..ROBUST_LIST_MAX {
            if entry & !1 == head || entry & !1 == 0 {
                break;
            }
            let next = word(entry & !1);
            if entry != pending {
                self.mark_owner_dead(cx, UserAddr::new((entry & !1).wrapping_add(offset)));
            }
            match next {
                Some(next) => entry = next,
                None => break,
            }
        }
        if pending != 0 {
            self.mark_owner_dead(cx, UserAddr::new((pending & !1).wrapping_add(offset)));
        }
    }

    fn mark_owner_dead(&self, cx: &Cx<'_>, addr: UserAddr) {
        loop {
            let Ok(value) = cx.mm.load_u32(addr) else { return };
            if value & FUTEX_TID_MASK != cx.task.tid().0 {
                return;
            }
            let new = value & FUTEX_WAITERS | FUTEX_OWNER_DIED;
            match cx.mm.compare_exchange_u32(addr, value, new) {
                Ok(old) if old == value => {
                    if value & FUTEX_WAITERS != 0 {
                        self.wake_addr(&cx.mm, addr, 1);
                    }
                    return;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}
