//! Calls that act on a path: open, create, remove, rename, link, change attributes.

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        mode::{
            S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID,
            S_ISUID,
        },
        open::{
            O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_NOATIME, O_NOFOLLOW, O_PATH, O_RDONLY,
            O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
        },
    },
};
use auth::Capability;

use crate::{
    Ctx, Dentry, Inode, LookupFlags, Metadata, Name, NewNode, OpenFile, Parent, Path, RenameFlags,
    SetAttr, SetTime, perm,
};

/// Flags that only matter while opening.
const CREATION_FLAGS: u32 = O_CREAT
    | O_EXCL
    | abi::fs::open::O_NOCTTY
    | O_TRUNC
    | O_DIRECTORY
    | O_NOFOLLOW
    | abi::fs::open::O_CLOEXEC;
/// The bit of `O_TMPFILE` that is not `O_DIRECTORY`.
const TMPFILE_BIT: u32 = O_TMPFILE & !O_DIRECTORY;
/// Most links followed when the last component is to be created.
const LINKS_MAX: u32 = 40;

/// How to open a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenHow {
    /// `O_*` flags.
    pub flags: u32,
    /// Permission bits of a new file, before umask.
    pub mode: u32,
    /// Restrictions of openat2(2).
    pub lookup: LookupFlags,
}

impl Ctx<'_> {
    /// open(2): opens `path` from `start`, creating it if the flags say so.
    ///
    /// # Errors
    ///
    /// As open(2).
    pub fn open(&self, start: &Path, path: &[u8], how: OpenHow) -> Result<Arc<OpenFile>, Errno> {
        let flags = how.flags;
        let lookup = LookupFlags {
            no_follow: flags & O_NOFOLLOW != 0,
            directory: flags & O_DIRECTORY != 0,
            ..how.lookup
        };
        if flags & O_PATH == 0 && flags & O_TMPFILE == O_TMPFILE {
            let dir = self.lookup(start, path, lookup)?;
            return self.open_unnamed(&dir, how);
        }
        if flags & O_PATH != 0 || flags & O_CREAT == 0 {
            let place = self.lookup(start, path, lookup)?;
            return self.open_found(place, flags, false);
        }
        if flags & O_DIRECTORY != 0 {
            return Err(Errno::EINVAL);
        }
        self.open_creating(start, path, how)
    }

    fn open_creating(
        &self,
        start: &Path,
        path: &[u8],
        how: OpenHow,
    ) -> Result<Arc<OpenFile>, Errno> {
        let (mut start, mut path) = (start.clone(), path.to_vec());
        for _ in 0..LINKS_MAX {
            let parent = self.lookup_parent(&start, &path, how.lookup)?;
            let Some(name) = &parent.name else { return Err(Errno::EISDIR) };
            if parent.slash {
                return Err(Errno::EISDIR);
            }
            let found = match parent.dir.dentry.lookup(self, name) {
                Ok(dentry) => dentry,
                Err(Errno::ENOENT) => return self.open_new(&parent.dir, name, how),
                Err(error) => return Err(error),
            };
            if how.flags & O_EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            let place = Path { mount: parent.dir.mount.clone(), dentry: found };
            let place = self.mounts.enter(place);
            let is_link = place.inode().metadata(self)?.is_symlink();
            if !is_link || how.flags & O_NOFOLLOW != 0 {
                return self.open_found(place, how.flags, false);
            }
            if how.lookup.no_symlinks {
                return Err(Errno::ELOOP);
            }
            if let Some(target) = place.inode().jump(self) {
                return self.open_found(target?, how.flags, false);
            }
            path = place.inode().read_link(self)?;
            start = parent.dir;
        }
        Err(Errno::ELOOP)
    }

    fn open_new(&self, dir: &Path, name: &Name, how: OpenHow) -> Result<Arc<OpenFile>, Errno> {
        self.check_change(dir)?;
        let mode = how.mode & 0o7777 & !self.umask;
        let inode = match dir.inode().create(self, name, NewNode::File, mode) {
            Ok(inode) => inode,
            // Somebody was faster: open theirs.
            Err(Errno::EEXIST) if how.flags & O_EXCL == 0 => {
                let dentry = dir.dentry.lookup(self, name)?;
                let place = Path { mount: dir.mount.clone(), dentry };
                return self.open_found(place, how.flags, false);
            }
            Err(error) => return Err(error),
        };
        let dentry = dir.dentry.created(name, inode);
        let place = Path { mount: dir.mount.clone(), dentry };
        self.open_found(place, how.flags & !O_TRUNC, true)
    }

    fn open_unnamed(&self, dir: &Path, how: OpenHow) -> Result<Arc<OpenFile>, Errno> {
        if how.flags & O_ACCMODE == O_RDONLY {
            return Err(Errno::EINVAL);
        }
        self.check_change(dir)?;
        let inode = dir.inode().create_unnamed(self, how.mode & 0o7777 & !self.umask)?;
        let name = Name::new(format!("#{}", inode.metadata(self)?.ino).as_bytes())?;
        let dentry = dir.dentry.unlisted(inode, name);
        let place = Path { mount: dir.mount.clone(), dentry };
        self.open_found(place, how.flags & !TMPFILE_BIT, true)
    }

    /// Opens a place that was found already; `created` skips the permission check, since the mode
    /// of a new file counts only for later opens (open(2)).
    ///
    /// # Errors
    ///
    /// As open(2).
    pub fn open_found(
        &self,
        place: Path,
        flags: u32,
        created: bool,
    ) -> Result<Arc<OpenFile>, Errno> {
        let kept = flags & !CREATION_FLAGS;
        if flags & O_PATH != 0 {
            let file = Arc::new(PathFile { inode: place.inode().clone() });
            return Ok(OpenFile::new(file, Some(place), kept & O_PATH));
        }
        let meta = place.inode().metadata(self)?;
        self.check_open(&place, &meta, flags, created)?;
        if flags & O_TRUNC != 0 && meta.is_file() {
            let cut = SetAttr { size: Some(0), mtime: Some(SetTime::Now), ..SetAttr::default() };
            place.inode().set_attr(self, &cut)?;
        }
        let file = place.inode().clone().open(self, kept)?;
        Ok(OpenFile::new(file, Some(place), kept))
    }

    fn check_open(
        &self,
        place: &Path,
        meta: &Metadata,
        flags: u32,
        created: bool,
    ) -> Result<(), Errno> {
        let wanted = match flags & O_ACCMODE {
            O_RDONLY => perm::READ,
            O_WRONLY => perm::WRITE,
            O_RDWR => perm::READ | perm::WRITE,
            _ => perm::READ | perm::WRITE,
        };
        let writing = wanted & perm::WRITE != 0 || flags & O_TRUNC != 0;
        match meta.kind() {
            S_IFLNK => return Err(Errno::ELOOP),
            S_IFSOCK => return Err(Errno::ENXIO),
            S_IFDIR if writing || flags & O_CREAT != 0 => return Err(Errno::EISDIR),
            S_IFCHR | S_IFBLK if place.mount.flags().no_dev => return Err(Errno::EACCES),
            S_IFREG if writing && place.mount.flags().read_only => return Err(Errno::EROFS),
            _ => {}
        }
        if !created {
            let truncating = if flags & O_TRUNC != 0 { perm::WRITE } else { 0 };
            self.check(meta, wanted | truncating)?;
        }
        if flags & O_NOATIME != 0 && !self.owns(meta) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Makes a directory, link, device, FIFO or socket at `path` and returns where.
    ///
    /// # Errors
    ///
    /// As mkdir(2), symlink(2), mknod(2).
    pub fn make(
        &self,
        start: &Path,
        path: &[u8],
        node: NewNode<'_>,
        mode: u32,
    ) -> Result<Path, Errno> {
        let parent = self.lookup_parent(start, path, LookupFlags::default())?;
        let Some(name) = &parent.name else { return Err(Errno::EEXIST) };
        if parent.dir.dentry.lookup(self, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let is_dir = matches!(node, NewNode::Dir);
        if parent.slash && !is_dir {
            return Err(Errno::ENOENT);
        }
        self.check_change(&parent.dir)?;
        if matches!(node, NewNode::CharDevice(_) | NewNode::BlockDevice(_))
            && !self.creds.has(Capability::Mknod)
        {
            return Err(Errno::EPERM);
        }
        let allowed = if is_dir { 0o1777 } else { 0o7777 };
        let mode =
            if matches!(node, NewNode::Symlink(_)) { 0o777 } else { mode & allowed & !self.umask };
        let inode = parent.dir.inode().create(self, name, node, mode)?;
        let dentry = parent.dir.dentry.created(name, inode);
        Ok(Path { mount: parent.dir.mount, dentry })
    }

    /// link(2): gives the inode at `target` the further name `path`.
    ///
    /// # Errors
    ///
    /// As link(2).
    pub fn link(&self, target: &Path, start: &Path, path: &[u8]) -> Result<(), Errno> {
        let parent = self.lookup_parent(start, path, LookupFlags::default())?;
        let Some(name) = &parent.name else { return Err(Errno::EEXIST) };
        if parent.dir.dentry.lookup(self, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        if parent.slash {
            return Err(Errno::ENOENT);
        }
        if !Arc::ptr_eq(&parent.dir.mount, &target.mount) {
            return Err(Errno::EXDEV);
        }
        self.check_change(&parent.dir)?;
        if target.inode().metadata(self)?.is_dir() {
            return Err(Errno::EPERM);
        }
        parent.dir.inode().link(self, name, target.inode())?;
        parent.dir.dentry.created(name, target.inode().clone());
        Ok(())
    }

    /// unlink(2), or rmdir(2) if `dir`.
    ///
    /// # Errors
    ///
    /// As unlink(2) and rmdir(2).
    pub fn remove(&self, start: &Path, path: &[u8], dir: bool) -> Result<(), Errno> {
        let parent = self.lookup_parent(start, path, LookupFlags::default())?;
        let Some(name) = &parent.name else {
            return Err(match (dir, parent.special) {
                (false, _) => Errno::EISDIR,
                (true, ".") => Errno::EINVAL,
                (true, "..") => Errno::ENOTEMPTY,
                (true, _) => Errno::EBUSY,
            });
        };
        let victim = parent.dir.dentry.lookup(self, name)?;
        let meta = victim.inode().metadata(self)?;
        let dir_meta = self.check_change(&parent.dir)?;
        self.check_sticky(&dir_meta, &meta)?;
        match (dir, meta.is_dir()) {
            (false, true) => return Err(Errno::EISDIR),
            (true, false) => return Err(Errno::ENOTDIR),
            (false, false) if parent.slash => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        if dir {
            parent.dir.inode().rmdir(self, name)?;
        } else {
            parent.dir.inode().unlink(self, name)?;
        }
        parent.dir.dentry.forget(name);
        Ok(())
    }

    /// renameat2(2).
    ///
    /// # Errors
    ///
    /// As rename(2).
    pub fn rename(
        &self,
        (from_start, from_path): (&Path, &[u8]),
        (to_start, to_path): (&Path, &[u8]),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let from = self.lookup_parent(from_start, from_path, LookupFlags::default())?;
        let to = self.lookup_parent(to_start, to_path, LookupFlags::default())?;
        if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
            return Err(Errno::EXDEV);
        }
        let (Some(from_name), Some(to_name)) = (&from.name, &to.name) else {
            return Err(if flags.no_replace { Errno::EEXIST } else { Errno::EBUSY });
        };
        let moving = from.dir.dentry.lookup(self, from_name)?;
        let target = match to.dir.dentry.lookup(self, to_name) {
            Ok(dentry) => Some(dentry),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        self.check_rename(&from, &to, &moving, target.as_ref(), flags)?;
        if let Some(target) = &target
            && self.same_inode(&moving, target)?
        {
            return Ok(());
        }
        from.dir.inode().rename(self, from_name, to.dir.inode(), to_name, flags)?;
        from.dir.dentry.moved(from_name, &to.dir.dentry, to_name, flags.exchange);
        Ok(())
    }

    fn same_inode(&self, a: &Dentry, b: &Dentry) -> Result<bool, Errno> {
        let (a, b) = (a.inode().metadata(self)?, b.inode().metadata(self)?);
        Ok(a.dev == b.dev && a.ino == b.ino)
    }

    fn check_rename(
        &self,
        from: &Parent,
        to: &Parent,
        moving: &Arc<Dentry>,
        target: Option<&Arc<Dentry>>,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if target.is_some() && flags.no_replace {
            return Err(Errno::EEXIST);
        }
        if target.is_none() && flags.exchange {
            return Err(Errno::ENOENT);
        }
        let from_meta = self.check_change(&from.dir)?;
        let to_meta = self.check_change(&to.dir)?;
        let meta = moving.inode().metadata(self)?;
        self.check_sticky(&from_meta, &meta)?;
        if !meta.is_dir() && (from.slash || (to.slash && !flags.exchange)) {
            return Err(Errno::ENOTDIR);
        }
        if meta.is_dir() && to.dir.dentry.is_below(moving) {
            return Err(Errno::EINVAL);
        }
        if moving.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        let Some(target) = target else { return Ok(()) };
        let target_meta = target.inode().metadata(self)?;
        self.check_sticky(&to_meta, &target_meta)?;
        if target.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        if from.dir.dentry.is_below(target) {
            return Err(if flags.exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        match (meta.is_dir(), target_meta.is_dir()) {
            _ if flags.exchange => Ok(()),
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            _ => Ok(()),
        }
    }

    /// chmod(2) on a place.
    ///
    /// # Errors
    ///
    /// As chmod(2).
    pub fn change_mode(&self, place: &Path, mode: u32) -> Result<(), Errno> {
        let inode = self.changeable(place)?;
        let meta = inode.metadata(self)?;
        if !self.owns(&meta) {
            return Err(Errno::EPERM);
        }
        let mut mode = mode & 0o7777;
        if !self.creds.in_group(meta.gid) && !self.creds.has(Capability::Fsetid) {
            mode &= !S_ISGID;
        }
        inode.set_attr(self, &SetAttr { mode: Some(mode), ..SetAttr::default() })
    }

    /// chown(2) on a place; `None` leaves an id alone.
    ///
    /// # Errors
    ///
    /// As chown(2).
    pub fn change_owner(
        &self,
        place: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        let inode = self.changeable(place)?;
        let meta = inode.metadata(self)?;
        let privileged = self.creds.has(Capability::Chown);
        let owner = self.creds.fsuid == meta.uid;
        let uid_ok = uid.is_none_or(|uid| privileged || (owner && uid == meta.uid));
        let gid_ok = gid.is_none_or(|gid| {
            privileged || (owner && (self.creds.in_group(gid) || gid == meta.gid))
        });
        if !uid_ok || !gid_ok {
            return Err(Errno::EPERM);
        }
        let mode = match meta.kind() {
            S_IFDIR | S_IFLNK => None,
            _ => {
                let group_exec = meta.mode & 0o010 != 0;
                let lost = S_ISUID | if group_exec { S_ISGID } else { 0 };
                (meta.mode & lost != 0).then_some(meta.mode & 0o7777 & !lost)
            }
        };
        inode.set_attr(self, &SetAttr { uid, gid, mode, ..SetAttr::default() })
    }

    /// truncate(2) on a place.
    ///
    /// # Errors
    ///
    /// As truncate(2).
    pub fn truncate(&self, place: &Path, size: u64) -> Result<(), Errno> {
        let inode = place.inode();
        let meta = inode.metadata(self)?;
        match meta.kind() {
            S_IFDIR => return Err(Errno::EISDIR),
            S_IFREG => {}
            _ => return Err(Errno::EINVAL),
        }
        if place.mount.flags().read_only {
            return Err(Errno::EROFS);
        }
        self.check(&meta, perm::WRITE)?;
        inode.set_attr(self, &SetAttr { size: Some(size), ..SetAttr::default() })
    }

    /// utimensat(2) on a place; `None` for a time that stays (`UTIME_OMIT`).
    ///
    /// # Errors
    ///
    /// As utimensat(2).
    pub fn change_times(
        &self,
        place: &Path,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<(), Errno> {
        let inode = self.changeable(place)?;
        if atime.is_none() && mtime.is_none() {
            return Ok(());
        }
        let meta = inode.metadata(self)?;
        let both_now = atime == Some(SetTime::Now) && mtime == Some(SetTime::Now);
        if !self.owns(&meta) {
            if !both_now {
                return Err(Errno::EPERM);
            }
            self.check(&meta, perm::WRITE)?;
        }
        inode.set_attr(self, &SetAttr { atime, mtime, ..SetAttr::default() })
    }

    /// The inode of a place, if its mount may be written.
    ///
    /// # Errors
    ///
    /// `EROFS`.
    pub fn changeable<'p>(&self, place: &'p Path) -> Result<&'p Arc<dyn Inode>, Errno> {
        if place.mount.flags().read_only { Err(Errno::EROFS) } else { Ok(place.inode()) }
    }

    /// access(2) with the effective ids of these credentials: 4 read, 2 write, 1 execute.
    ///
    /// # Errors
    ///
    /// As access(2).
    pub fn access(&self, place: &Path, wanted: u32) -> Result<(), Errno> {
        let meta = place.inode().metadata(self)?;
        let special = matches!(meta.kind(), S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK);
        if wanted & perm::WRITE != 0 && place.mount.flags().read_only && !special {
            return Err(Errno::EROFS);
        }
        if wanted & perm::EXECUTE != 0
            && meta.mode & S_IFMT == S_IFREG
            && place.mount.flags().no_exec
        {
            return Err(Errno::EACCES);
        }
        self.check(&meta, wanted)
    }

    /// The path of a place as the caller sees it from its root; `None` if it lies outside.
    /// A removed place ends in ` (deleted)`, as in `/proc/PID/fd`.
    #[must_use]
    pub fn path_of(&self, place: &Path) -> Option<Vec<u8>> {
        let mut parts: Vec<Name> = Vec::new();
        let mut here = place.clone();
        while !here.same(self.root) {
            if Arc::ptr_eq(&here.dentry, &here.mount.root) {
                here = here.mount.at()?;
                continue;
            }
            parts.push(here.dentry.name()?);
            here.dentry = here.dentry.parent()?;
        }
        let mut text = Vec::new();
        for name in parts.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name.as_bytes());
        }
        if text.is_empty() {
            text.push(b'/');
        }
        if place.dentry.is_removed() {
            text.extend_from_slice(b" (deleted)");
        }
        Some(text)
    }
}

/// The open file behind an `O_PATH` descriptor: it only names a place.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct PathFile {
    inode: Arc<dyn Inode>,
}

impl crate::File for PathFile {
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
