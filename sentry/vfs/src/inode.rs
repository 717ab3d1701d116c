//! What a file system gives: inodes.

use std::{any::Any, fmt, sync::Arc};

use abi::{Errno, Timespec, fs::mode};

use crate::{Ctx, File, Name, Path};

/// What stat(2) tells of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
#[expect(missing_docs, reason = "each field is that of stat(2)")]
pub struct Metadata {
    pub dev: u64,
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    pub block_size: u32,
    pub atime: Timespec,
    pub mtime: Timespec,
    pub ctime: Timespec,
    pub btime: Timespec,
}

impl Metadata {
    /// The type bits (`S_IFREG`, …).
    #[must_use]
    pub const fn kind(&self) -> u32 {
        self.mode & mode::S_IFMT
    }

    /// True for a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.kind() == mode::S_IFDIR
    }

    /// True for a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.kind() == mode::S_IFREG
    }

    /// True for a symbolic link.
    #[must_use]
    pub const fn is_symlink(&self) -> bool {
        self.kind() == mode::S_IFLNK
    }
}

/// A time to be set by utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The present time.
    Now,
    /// This time.
    To(Timespec),
}

/// Which attributes to change; `None` leaves one alone. Permissions were checked by the caller.
/// The file system updates ctime by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the attribute of its name")]
pub struct SetAttr {
    /// Permission bits (07777), without type.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<SetTime>,
    pub mtime: Option<SetTime>,
}

/// What to create under a name. `mode` is permission bits with umask already applied.
#[derive(Clone, Copy, Debug)]
pub enum NewNode<'a> {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A character device.
    CharDevice(u64),
    /// A block device.
    BlockDevice(u64),
    /// A FIFO.
    Fifo,
    /// A bound Unix socket (found again by its inode).
    Socket,
}

/// Flags of renameat2(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameFlags {
    /// `RENAME_NOREPLACE`.
    pub no_replace: bool,
    /// `RENAME_EXCHANGE`.
    pub exchange: bool,
}

/// Flags of setxattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XattrFlags {
    /// `XATTR_CREATE`.
    pub create: bool,
    /// `XATTR_REPLACE`.
    pub replace: bool,
}

/// What statfs(2) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is that of statfs(2)")]
pub struct StatFs {
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub name_max: u64,
}

/// A file, directory, link or device of a file system.
///
/// Permission checks (search, write to the directory, sticky bit, ownership) are the caller's
/// (`vfs::ops`); a file system checks what only it can know (read-only host, quota, not empty).
/// A method that is not overridden answers what Linux answers for such an inode.
pub trait Inode: Any + state::Object + fmt::Debug {
    /// Its attributes.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn metadata(&self, cx: &Ctx<'_>) -> Result<Metadata, Errno>;

    /// Changes attributes.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno>;

    /// Opens it: `flags` are `O_*` without creation flags. Regular files, directories, devices
    /// and FIFOs; the caller checked permissions. Opening a FIFO may block.
    ///
    /// # Errors
    ///
    /// `ENXIO` for what can't be opened.
    fn open(self: Arc<Self>, cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno>;

    /// Directory: finds an entry.
    ///
    /// # Errors
    ///
    /// `ENOENT`; `ENOTDIR` if this is no directory.
    fn lookup(&self, cx: &Ctx<'_>, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (cx, name);
        Err(Errno::ENOTDIR)
    }

    /// Directory: told before a walk of the components in `rest` (`a/b/c`), so that a remote
    /// file system can fetch them in one round trip. Purely an advice.
    fn prefetch(&self, cx: &Ctx<'_>, rest: &[u8]) {
        let _ = (cx, rest);
    }

    /// Directory: makes a new entry, owned by the caller's fsuid and fsgid (or the directory's
    /// group where it is set-gid). `mode` has permission bits only.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken.
    fn create(
        &self,
        cx: &Ctx<'_>,
        name: &Name,
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (cx, name, node, mode);
        Err(Errno::EPERM)
    }

    /// Directory: makes a file without a name (`O_TMPFILE`); link can name it.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where there is no such thing.
    fn create_unnamed(&self, cx: &Ctx<'_>, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (cx, mode);
        Err(Errno::EOPNOTSUPP)
    }

    /// Directory: gives `target` (of the same file system, not a directory) another name.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken, `EPERM` where links are not possible.
    fn link(&self, cx: &Ctx<'_>, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let _ = (cx, name, target);
        Err(Errno::EPERM)
    }

    /// Directory: removes an entry that is no directory.
    ///
    /// # Errors
    ///
    /// `EISDIR` for a directory.
    fn unlink(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        let _ = (cx, name);
        Err(Errno::EPERM)
    }

    /// Directory: removes an empty directory.
    ///
    /// # Errors
    ///
    /// `ENOTEMPTY`, `ENOTDIR`.
    fn rmdir(&self, cx: &Ctx<'_>, name: &Name) -> Result<(), Errno> {
        let _ = (cx, name);
        Err(Errno::EPERM)
    }

    /// Directory: moves the entry `from` to `to` in `to_dir`, a directory of the same file system.
    /// The caller made sure that it does not move a directory below itself.
    ///
    /// # Errors
    ///
    /// As rename(2).
    fn rename(
        &self,
        cx: &Ctx<'_>,
        from: &Name,
        to_dir: &Arc<dyn Inode>,
        to: &Name,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _ = (cx, from, to_dir, to, flags);
        Err(Errno::EPERM)
    }

    /// Symbolic link: its target.
    ///
    /// # Errors
    ///
    /// `EINVAL` if this is none.
    fn read_link(&self, cx: &Ctx<'_>) -> Result<Vec<u8>, Errno> {
        let _ = cx;
        Err(Errno::EINVAL)
    }

    /// Magic link (`/proc/PID/fd/N`, `exe`, `cwd`, `root`): the place itself, whatever its name.
    /// `None` for an ordinary link, which is followed by its text.
    fn jump(&self, cx: &Ctx<'_>) -> Option<Result<Path, Errno>> {
        let _ = cx;
        None
    }

    /// Numbers of the whole file system.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn stat_fs(&self, cx: &Ctx<'_>) -> Result<StatFs, Errno>;

    /// Reads an extended attribute.
    ///
    /// # Errors
    ///
    /// `ENODATA` if there is none of the name, `EOPNOTSUPP` if there are none at all.
    fn get_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let _ = (cx, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// As setxattr(2).
    fn set_xattr(
        &self,
        cx: &Ctx<'_>,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let _ = (cx, name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// Names of all extended attributes.
    ///
    /// # Errors
    ///
    /// As listxattr(2).
    fn list_xattr(&self, cx: &Ctx<'_>) -> Result<Vec<Vec<u8>>, Errno> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// As removexattr(2).
    fn remove_xattr(&self, cx: &Ctx<'_>, name: &[u8]) -> Result<(), Errno> {
        let _ = (cx, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// False if a name may vanish or change behind our back (proc, shared mounts): the walk then
    /// asks [`Inode::lookup`] each time.
    fn cacheable(&self) -> bool {
        true
    }

    /// For the file system itself: back to its own type.
    fn as_any(&self) -> &dyn Any;
}
