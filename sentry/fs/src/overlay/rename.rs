//! Moving entries (rename(2)).

use std::sync::Arc;

use abi::Errno;
use sched::Fiber;
use vfs::{Ctx, Inode, Name, RenameFlags, SleepGuard};

use super::inode::Node;

/// Two entries and their upper directories, as a rename has found them.
struct Move<'a> {
    from: (&'a Node, Arc<dyn Inode>, &'a Name),
    to: (&'a Arc<Node>, Arc<dyn Inode>, &'a Name),
    moving: Arc<Node>,
    target: Option<Arc<Node>>,
}

impl Node {
    /// renameat2(2). A directory that is (also) in the lower tree can't be moved: `EXDEV`, as on
    /// Linux without `redirect_dir`.
    pub(super) fn rename_entry(
        &self,
        cx: &Ctx<'_>,
        from: &Name,
        (to_dir, to): (&Arc<Self>, &Name),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let cx = &self.fs.own(cx);
        let moving = self.find(cx, from)?;
        let target = match to_dir.find(cx, to) {
            Err(Errno::ENOENT) => None,
            found => Some(found?),
        };
        check(&moving, target.as_ref(), flags)?;
        if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &moving)) {
            return Ok(());
        }
        moving.copy_up(cx, None)?;
        if let Some(target) = target.as_ref().filter(|_| flags.exchange) {
            target.copy_up(cx, None)?;
        }
        let from = (self, self.copy_up(cx, None)?, from);
        let to = (to_dir, to_dir.copy_up(cx, None)?, to);
        let _both = self.change_both(cx.fiber, to_dir);
        let this = Move { from, to, moving, target };
        this.check_still(cx)?;
        if flags.exchange { this.exchange(cx) } else { this.replace(cx) }
    }

    fn change_both<'a>(
        &'a self,
        fiber: &Fiber<'_>,
        other: &'a Self,
    ) -> (SleepGuard<'a>, Option<SleepGuard<'a>>) {
        if std::ptr::eq(self, other) {
            return (self.changes.lock(fiber), None);
        }
        let (first, second) = if self.ino < other.ino { (self, other) } else { (other, self) };
        (first.changes.lock(fiber), Some(second.changes.lock(fiber)))
    }
}

fn check(moving: &Node, target: Option<&Arc<Node>>, flags: RenameFlags) -> Result<(), Errno> {
    let fixed = |node: &Node| node.is_dir() && node.lower.is_some();
    let target = match target {
        None if flags.exchange => return Err(Errno::ENOENT),
        Some(_) if flags.no_replace => return Err(Errno::EEXIST),
        target => target,
    };
    if fixed(moving) || (flags.exchange && target.is_some_and(|target| fixed(target))) {
        return Err(Errno::EXDEV);
    }
    match target.filter(|_| !flags.exchange).map(|target| (moving.is_dir(), target.is_dir())) {
        Some((true, false)) => Err(Errno::ENOTDIR),
        Some((false, true)) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

impl Move<'_> {
    /// Nobody has changed the entries meanwhile?
    fn check_still(&self, cx: &Ctx<'_>) -> Result<(), Errno> {
        let (from_dir, _, from) = &self.from;
        let (to_dir, _, to) = &self.to;
        let target_is_there = match &self.target {
            Some(target) => to_dir.is_entry(to, target),
            None => to_dir.find(cx, to).is_err(),
        };
        let closed = to_dir.state.lock().removed;
        if closed || !from_dir.is_entry(from, &self.moving) || !target_is_there {
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    /// A directory that comes to where the lower tree has that name must hide what is there.
    fn hide_lower(cx: &Ctx<'_>, node: &Node, (dir, name): (&Node, &Name)) -> Result<(), Errno> {
        match node.upper() {
            Some(upper) if node.is_dir() && dir.lower_has(cx, name)? => {
                node.fs.set_opaque(cx, &*upper)
            }
            _ => Ok(()),
        }
    }

    fn exchange(&self, cx: &Ctx<'_>) -> Result<(), Errno> {
        let ((from_dir, here, from), (to_dir, there, to)) = (&self.from, &self.to);
        let target = self.target.as_ref().ok_or(Errno::ENOENT)?;
        Self::hide_lower(cx, &self.moving, (to_dir, to))?;
        Self::hide_lower(cx, target, (from_dir, from))?;
        let flags = RenameFlags { exchange: true, ..RenameFlags::default() };
        here.rename(cx, from, there, to, flags)?;
        from_dir.enter(from, target);
        to_dir.enter(to, &self.moving);
        Ok(())
    }

    fn replace(&self, cx: &Ctx<'_>) -> Result<(), Errno> {
        let ((from_dir, _, from), (to_dir, there, to)) = (&self.from, &self.to);
        let inside = self.target.as_ref().filter(|target| target.is_dir());
        let _inside = inside.map(|target| target.changes.lock(cx.fiber));
        if let Some(target) = inside {
            if !target.entries(cx)?.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
            if let Some(upper) = target.upper() {
                target.clear_whiteouts(cx, &upper)?;
            }
        }
        Self::hide_lower(cx, &self.moving, (to_dir, to))?;
        let in_place = Node::lookup_in(cx, Some(there), to)?;
        let over_whiteout = match &in_place {
            Some(upper) => self.moving.fs.is_whiteout(cx, &**upper)?,
            None => false,
        };
        if over_whiteout && self.moving.is_dir() {
            self.swap_with_whiteout(cx)?;
        } else if from_dir.lower_has(cx, from)? {
            self.leave_whiteout(cx)?;
        } else {
            self.from.1.rename(cx, from, there, to, RenameFlags::default())?;
        }
        if let Some(target) = &self.target {
            target.state.lock().removed = true;
        }
        from_dir.leave(from);
        to_dir.enter(to, &self.moving);
        Ok(())
    }

    /// A directory can't be moved over what is none: they change places.
    fn swap_with_whiteout(&self, cx: &Ctx<'_>) -> Result<(), Errno> {
        let ((from_dir, here, from), (_, there, to)) = (&self.from, &self.to);
        let flags = RenameFlags { exchange: true, ..RenameFlags::default() };
        here.rename(cx, from, there, to, flags)?;
        if from_dir.lower_has(cx, from)? { Ok(()) } else { here.unlink(cx, from) }
    }

    /// The place that is left is in the lower tree too: it must look empty at once.
    fn leave_whiteout(&self, cx: &Ctx<'_>) -> Result<(), Errno> {
        let ((_, here, from), (_, there, to)) = (&self.from, &self.to);
        let fs = &self.moving.fs;
        let temp = fs.white_out(cx, here, from)?;
        fs.work.rename(cx, &temp, there, to, RenameFlags::default()).inspect_err(|_| {
            let flags = RenameFlags { exchange: true, ..RenameFlags::default() };
            if fs.work.rename(cx, &temp, here, from, flags).is_ok() {
                let _ = fs.work.unlink(cx, &temp);
            }
        })
    }
}
