//! Epolls in epolls: no circle, and not too many above one another.

use std::sync::Arc;

use abi::Errno;
use vfs::OpenFile;

use super::Epoll;

/// Most epolls above one another (`epoll_ctl(2)`, `ELOOP`). It bounds how deep a notification, or
/// a question for events, can nest.
const LEVELS_MAX: usize = 5;

impl Epoll {
    /// May `other` be watched by this one? To be called with `nesting` held.
    pub(super) fn check_nesting(&self, other: &Self) -> Result<(), Errno> {
        let below = other.levels_below(self, LEVELS_MAX)?;
        let above = self.levels_above(LEVELS_MAX)?;
        if above + below > LEVELS_MAX { Err(Errno::ELOOP) } else { Ok(()) }
    }

    /// Levels from this one downwards; an error if `sought` is met or `left` is not enough.
    fn levels_below(&self, sought: &Self, left: usize) -> Result<usize, Errno> {
        if std::ptr::eq(self, sought) || left == 0 {
            return Err(Errno::ELOOP);
        }
        let files: Vec<Arc<OpenFile>> =
            self.items.lock().by_key.values().filter_map(|item| item.file()).collect();
        let mut most = 0;
        for file in files {
            if let Some(below) = file.downcast::<Self>() {
                most = most.max(below.levels_below(sought, left - 1)?);
            }
        }
        Ok(most + 1)
    }

    /// Levels from this one upwards.
    fn levels_above(&self, left: usize) -> Result<usize, Errno> {
        let watchers: Vec<Arc<Self>> =
            self.items.lock().watchers.iter().filter_map(|watcher| watcher.upgrade()).collect();
        if left == 0 {
            return Err(Errno::ELOOP);
        }
        let mut most = 0;
        for watcher in watchers {
            most = most.max(watcher.levels_above(left - 1)?);
        }
        Ok(most + 1)
    }
}
