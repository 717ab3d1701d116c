//! Files in memory without a name (`memfd_create(2)`).

use std::{any::Any, sync::Arc};

use abi::{
    Errno, PAGE_SIZE,
    fs::{mode::S_IFREG, open::O_RDWR},
};
use mm::Identity;
use sched::Mutex;
use state::live::Live;
use vfs::{Ctx, File, Inode, Metadata, OpenFile, SetAttr, StatFs};

use crate::{
    Shared,
    base::{Attributes, MemoryFile, OpenMemoryFile, Timed, memory_file::seal},
};

/// `MFD_CLOEXEC` (`memfd_create(2)`).
const MFD_CLOEXEC: u32 = 1;
/// `MFD_ALLOW_SEALING`.
const MFD_ALLOW_SEALING: u32 = 2;
/// `MFD_NOEXEC_SEAL`.
const MFD_NOEXEC_SEAL: u32 = 8;
/// `MFD_EXEC`.
const MFD_EXEC: u32 = 0x10;
/// Longest name: `NAME_MAX` less `memfd:`.
const NAME_BYTES_MAX: usize = 249;
/// `TMPFS_MAGIC` (linux/magic.h): as on Linux these are tmpfs files.
const MAGIC: u64 = 0x0102_1994;
/// Permission to execute, for anybody.
const EXECUTE: u32 = 0o111;

#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Memfd {
    dev: u64,
    ino: u64,
    #[state(early)]
    attributes: Mutex<Attributes>,
    contents: Arc<MemoryFile>,
    name: String,
    #[state(skip)]
    _live: Live<Self>,
}

/// `memfd_create(2)`: makes a file that lives as long as it is open or mapped. `MFD_CLOEXEC` is the
/// caller's.
///
/// # Errors
///
/// `EINVAL` for a name that is too long or a flag that is not served (huge pages).
pub fn memfd(
    cx: &Ctx<'_>,
    shared: &Arc<Shared>,
    name: &[u8],
    flags: u32,
) -> Result<Arc<OpenFile>, Errno> {
    let known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    let contradicting = MFD_NOEXEC_SEAL | MFD_EXEC;
    if flags & !known != 0 || flags & contradicting == contradicting || name.len() > NAME_BYTES_MAX
    {
        return Err(Errno::EINVAL);
    }
    let (mode, seals) = match flags & (MFD_NOEXEC_SEAL | MFD_ALLOW_SEALING) {
        0 => (0o777, seal::F_SEAL_SEAL),
        MFD_ALLOW_SEALING => (0o777, 0),
        _ => (0o666, seal::F_SEAL_EXEC),
    };
    let (dev, ino) = (shared.anonymous_dev(), shared.next_ino());
    let name = format!("/memfd:{} (deleted)", String::from_utf8_lossy(name));
    let identity = Identity { dev, ino };
    let mut attributes = Attributes::new(cx, S_IFREG, mode, None);
    attributes.nlink = 0;
    let inode = Arc::new(Memfd {
        dev,
        ino,
        attributes: Mutex::new(attributes),
        contents: MemoryFile::new(shared, shared.charge(), identity, name.clone(), seals),
        name,
        _live: Live::new(),
    });
    let file = inode.open(cx, O_RDWR)?;
    Ok(OpenFile::new(file, None, O_RDWR))
}

impl Timed for Memfd {
    const OPEN_NAME: &'static str = "OpenMemfd";

    fn attributes(&self) -> &Mutex<Attributes> {
        &self.attributes
    }

    fn link_text(&self) -> String {
        self.name.clone()
    }
}

impl Inode for Memfd {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        let known = self.attributes.lock().metadata();
        let (size, blocks) = (self.contents.size(), self.contents.blocks());
        Ok(Metadata { dev: self.dev, ino: self.ino, size, blocks, ..known })
    }

    fn set_attr(&self, cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        let sealed = self.contents.seals() & seal::F_SEAL_EXEC != 0;
        let now = self.attributes.lock().mode;
        if sealed && change.mode.is_some_and(|new| (new ^ now) & EXECUTE != 0) {
            return Err(Errno::EPERM);
        }
        if let Some(size) = change.size {
            self.contents.truncate(cx, size)?;
            self.attributes.lock().modified(cx);
        }
        self.attributes.lock().apply(change);
        Ok(())
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let contents = Arc::clone(&self.contents);
        Ok(Arc::new(OpenMemoryFile::new(self, contents, flags)))
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        let block_size = PAGE_SIZE;
        Ok(StatFs { magic: MAGIC, block_size, name_max: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read, run, write};

    const ADD: u32 = 1033;
    const GET: u32 = 1034;

    #[test]
    fn seals_hold() {
        run(|cx, world| {
            let file = memfd(cx, &world.shared, b"x", MFD_ALLOW_SEALING).unwrap();
            assert_eq!(write(cx, &file, b"12345678"), Ok(8));
            let seals = seal::F_SEAL_GROW | seal::F_SEAL_SHRINK;
            assert_eq!(file.file().fcntl(cx, ADD, u64::from(seals)), Ok(0));
            let size = |size| SetAttr { size: Some(size), ..SetAttr::default() };
            assert_eq!(file.file().set_attr(cx, &size(9)), Err(Errno::EPERM));
            assert_eq!(file.file().set_attr(cx, &size(7)), Err(Errno::EPERM));
            assert_eq!(file.file().set_attr(cx, &size(8)), Ok(()));
            assert_eq!(file.file().allocate(cx, 0, 0, 100), Err(Errno::EPERM));
            assert_eq!(file.seek(cx, 6, 0), Ok(6));
            assert_eq!(write(cx, &file, b"abcd"), Ok(2));
            assert_eq!(write(cx, &file, b"abcd"), Err(Errno::EPERM));
            let rest = seal::F_SEAL_WRITE | seal::F_SEAL_SEAL;
            assert_eq!(file.file().fcntl(cx, ADD, u64::from(rest)), Ok(0));
            file.seek(cx, 0, 0).unwrap();
            assert_eq!(write(cx, &file, b"x"), Err(Errno::EPERM));
            assert_eq!(file.file().allocate(cx, 3, 0, 1), Err(Errno::EPERM));
            assert!(file.file().mappable(cx, true).is_err());
            assert!(file.file().mappable(cx, false).is_ok());
            assert_eq!(read(cx, &file, 99).unwrap(), b"123456ab");
            assert_eq!(file.file().fcntl(cx, ADD, 0), Err(Errno::EPERM));
            assert_eq!(file.file().fcntl(cx, GET, 0), Ok(0xf));
        });
    }

    #[test]
    fn without_leave_nothing_can_be_sealed() {
        run(|cx, world| {
            let file = memfd(cx, &world.shared, b"", 0).unwrap();
            assert_eq!(file.file().fcntl(cx, GET, 0), Ok(1));
            assert_eq!(file.file().fcntl(cx, ADD, 2), Err(Errno::EPERM));
            assert_eq!(file.metadata(cx).unwrap().nlink, 0);
            assert_eq!(memfd(cx, &world.shared, &[b'x'; 250], 0).unwrap_err(), Errno::EINVAL);
            assert_eq!(memfd(cx, &world.shared, b"", 4).unwrap_err(), Errno::EINVAL);
        });
    }

    #[test]
    fn holes_are_found_and_made() {
        run(|cx, world| {
            let file = memfd(cx, &world.shared, b"x", 0).unwrap();
            file.file()
                .set_attr(cx, &SetAttr { size: Some(1 << 20), ..SetAttr::default() })
                .unwrap();
            assert_eq!(file.seek(cx, 0, 3), Err(Errno::ENXIO));
            file.write_at(cx, &mut vfs::BytesSrc(&[1; 8192]), 65536).unwrap();
            assert_eq!(file.seek(cx, 0, 3), Ok(65536));
            assert_eq!(file.seek(cx, 65536, 4), Ok(65536 + 8192));
            file.file().allocate(cx, 3, 65536, 4096).unwrap();
            assert_eq!(file.seek(cx, 0, 3), Ok(65536 + 4096));
            assert_eq!(file.metadata(cx).unwrap().blocks, 8);
        });
    }
}
