#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod ctx;
mod dentry;
mod description;
mod file;
mod inode;
mod io;
mod locks;
mod mapping;
mod mount;
mod name;
mod ops;
mod path;
mod perm;
mod sleeplock;
mod walk;

pub use ctx::Ctx;
pub use dentry::Dentry;
pub use description::OpenFile;
pub use file::{DirEntry, DirSink, File, Ioctl};
pub use inode::{Inode, Metadata, NewNode, RenameFlags, SetAttr, SetTime, StatFs, XattrFlags};
pub use io::{BytesDst, BytesSrc, Dst, Src};
pub use locks::{FileKey, FileLock, LockKind, LockOwner, LockSpace, LockTable, OwnerId};
pub use mount::{Filesystem, Mount, MountFlags, MountNamespace};
pub use name::Name;
pub use ops::OpenHow;
pub use path::Path;
pub use sleeplock::{SleepGuard, SleepLock};
pub use walk::{LookupFlags, Parent};

/// The object types of this crate, for checkpoints.
#[must_use]
pub fn register(r: state::Registry) -> state::Registry {
    r.object::<Dentry>()
        .object::<Mount>()
        .object::<MountNamespace>()
        .object::<LockTable>()
        .object::<OpenFile>()
        .object::<ops::PathFile>()
        .view::<ops::PathFile, dyn File>(|weak| weak)
        .object::<mapping::Named>()
        .view::<mapping::Named, dyn mm::Mappable>(|weak| weak)
}
