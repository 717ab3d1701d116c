//! A mounted tmpfs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use abi::{Errno, PAGE_SIZE, fs::mode::S_IFDIR};
use mm::{Charge, Kind};
use sched::Mutex;
use vfs::{Filesystem, Inode, StatFs};

use super::inode::{Body, Node};
use crate::{Shared, base::Attributes};

/// What an inode and its name cost, about.
const INODE_BYTES: u64 = 1024;
/// `TMPFS_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x0102_1994;

/// Options of a tmpfs (tmpfs(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct Options {
    /// Most bytes of contents.
    pub size: Option<u64>,
    /// The same as a part of all memory, in percent.
    pub size_percent: Option<u64>,
    /// Most inodes.
    pub inodes: Option<u64>,
    /// Permission bits of the root.
    pub mode: u32,
    /// Owner of the root.
    pub uid: u32,
    /// Group of the root.
    pub gid: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: None, size_percent: None, inodes: None, mode: 0o1777, uid: 0, gid: 0 }
    }
}

impl Options {
    /// Reads options as mount(2) gets them (`size=64k,mode=755`, `size=50%`). A size of 0 and of 0
    /// inodes mean no limit.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that is not known.
    pub fn parse(text: &str) -> Result<Self, Errno> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let octal = || u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL);
            let id = || value.parse::<u32>().map_err(|_| Errno::EINVAL);
            match name {
                "size" if value.ends_with('%') => {
                    let percent = value.trim_end_matches('%').parse();
                    options.size_percent = Some(percent.map_err(|_| Errno::EINVAL)?);
                }
                "size" => options.size = limit(size(value)?),
                "nr_blocks" => options.size = limit(size(value)?.saturating_mul(PAGE_SIZE)),
                "nr_inodes" => options.inodes = limit(size(value)?),
                "mode" => options.mode = octal()? & 0o7777,
                "uid" => options.uid = id()?,
                "gid" => options.gid = id()?,
                // They say on which memory pages lie, or how inode numbers look.
                "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn limit(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

/// A number with a suffix `k`, `m`, `g` (tmpfs(5)).
fn size(text: &str) -> Result<u64, Errno> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(Errno::EINVAL),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

/// The name in `/proc/mounts`.
#[derive(Clone, Copy, Debug)]
struct KindName(&'static str);

/// The names there are.
const KIND_NAMES: [&str; 2] = ["tmpfs", "devtmpfs"];

state::savable_as! {
    KindName as u8,
        |kind| (0..).zip(KIND_NAMES).find(|(_, name)| *name == kind.0).map_or(0, |(at, _)| at),
        |at| KIND_NAMES.get(usize::from(at)).copied().map(KindName),
        "no kind of tmpfs";
}

/// A tmpfs.
#[derive(Debug, state::Save, state::Load)]
pub struct Tmpfs {
    shared: Arc<Shared>,
    /// What contents are paid by: it has the limit of the option `size`.
    contents: Arc<Charge>,
    kind: KindName,
    dev: u64,
    options: Options,
    next_ino: AtomicU64,
    inodes: AtomicU64,
    /// Held by whoever changes where directories are.
    #[state(skip)]
    pub(super) renames: Mutex<()>,
}

impl Tmpfs {
    /// Makes an empty file system; returns it and its root directory.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no memory for the root.
    pub fn new(
        shared: &Arc<Shared>,
        options: Options,
    ) -> Result<(Arc<Self>, Arc<dyn Inode>), Errno> {
        Self::with_kind(shared, options, "tmpfs")
    }

    /// The same, under another name in `/proc/mounts` (`devtmpfs`).
    ///
    /// # Errors
    ///
    /// As [`Tmpfs::new`].
    pub fn with_kind(
        shared: &Arc<Shared>,
        options: Options,
        kind: &'static str,
    ) -> Result<(Arc<Self>, Arc<dyn Inode>), Errno> {
        let mut options = options;
        if let Some(percent) = options.size_percent.take() {
            let all = shared.memory().limit_bytes();
            options.size = limit((all / 100).saturating_mul(percent));
        }
        let fs = Arc::new(Self {
            shared: Arc::clone(shared),
            contents: Charge::within(shared.charge(), options.size.unwrap_or(u64::MAX)),
            kind: KindName(kind),
            dev: shared.next_dev(),
            options,
            next_ino: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
            renames: Mutex::new(()),
        });
        let mode = S_IFDIR | (options.mode & 0o7777);
        let attributes = Attributes::owned(options.uid, options.gid, mode);
        let root = Node::new(&fs, attributes, Body::directory(None))?;
        Ok((fs, root))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn contents(&self) -> &Arc<Charge> {
        &self.contents
    }

    pub(super) fn dev(&self) -> u64 {
        self.dev
    }

    /// Counts and charges one more inode; returns its number.
    pub(super) fn add_inode(&self) -> Result<u64, Errno> {
        let most = self.options.inodes.unwrap_or(u64::MAX);
        let add = |count: u64| (count < most).then(|| count + 1);
        self.inodes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_| Errno::ENOSPC)?;
        if !self.shared.charge().add(INODE_BYTES, Kind::Kernel) {
            self.inodes.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(self.next_ino.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn remove_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
        self.shared.charge().sub(INODE_BYTES, Kind::Kernel);
    }

    /// Pays for another name of an inode.
    pub(super) fn add_name(&self) -> Result<(), Errno> {
        if self.shared.charge().add(INODE_BYTES, Kind::Kernel) {
            Ok(())
        } else {
            Err(Errno::ENOSPC)
        }
    }

    pub(super) fn remove_name(&self) {
        self.shared.charge().sub(INODE_BYTES, Kind::Kernel);
    }

    pub(super) fn stat(&self) -> StatFs {
        let memory = self.shared.memory();
        let (used, most) = match self.options.size {
            Some(size) => (self.contents.usage().total, size),
            None => (memory.used_bytes(), memory.limit_bytes()),
        };
        let free = most.saturating_sub(used) / PAGE_SIZE;
        let inodes = self.inodes.load(Ordering::Relaxed);
        let files = self.options.inodes.unwrap_or(most / INODE_BYTES).max(inodes);
        StatFs {
            magic: MAGIC,
            block_size: PAGE_SIZE,
            blocks: most / PAGE_SIZE,
            blocks_free: free,
            blocks_available: free,
            files,
            files_free: files - inodes,
            name_max: 255,
        }
    }
}

impl Filesystem for Tmpfs {
    fn kind(&self) -> &'static str {
        self.kind.0
    }

    fn options(&self) -> String {
        let size = self.options.size.map(|size| format!("size={}k", size / 1024));
        let inodes = self.options.inodes.map(|inodes| format!("nr_inodes={inodes}"));
        let mode = (self.options.mode != 0o1777).then(|| format!("mode={:o}", self.options.mode));
        let uid = (self.options.uid != 0).then(|| format!("uid={}", self.options.uid));
        let gid = (self.options.gid != 0).then(|| format!("gid={}", self.options.gid));
        let all: Vec<String> = [size, inodes, mode, uid, gid].into_iter().flatten().collect();
        all.join(",")
    }
}
