//! A place in the tree of names.

use std::sync::Arc;

use crate::{Dentry, Inode, Mount};

/// A dentry seen through a mount.
#[derive(Clone, Debug, state::Save, state::Load)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The name in it.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode there.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// True if both are the same place.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}
