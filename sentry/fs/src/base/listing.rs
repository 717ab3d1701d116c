//! The entries of a directory as they were at some time.

use std::sync::Arc;

use abi::{
    Errno,
    fs::{dirent_type, mode::S_IFDIR},
};
use mm::{Charge, Kind};
use sched::Mutex;
use vfs::{DirEntry, DirSink, Name};

/// An entry: name, inode number and type (as `d_type`).
pub(crate) type Listed = (Name, (u64, u8));

/// What an entry costs, about.
const LISTED_BYTES: u64 = 64;
/// Cursor of the first entry after `.` and `..`.
const FIRST: u64 = 2;

/// The entries of a directory as they were at some time, paid for.
#[derive(Debug, state::Save, state::Load)]
#[state(name = "fs::Listing")]
pub(crate) struct Listing {
    entries: Vec<Listed>,
    charge: Arc<Charge>,
}

impl Listing {
    pub(crate) fn new(entries: Vec<Listed>, charge: &Arc<Charge>) -> Result<Arc<Self>, Errno> {
        if !charge.add(LISTED_BYTES * entries.len() as u64, Kind::Kernel) {
            return Err(Errno::ENOMEM);
        }
        Ok(Arc::new(Self { entries, charge: Arc::clone(charge) }))
    }

    /// How many entries there are, with `.` and `..`.
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64 + FIRST
    }

    /// getdents64(2) from `cursor` on: first `.` and `..` with the numbers `dots`.
    pub(crate) fn show(&self, dots: [u64; 2], mut cursor: u64, sink: &mut dyn DirSink) -> u64 {
        let names: [&[u8]; 2] = [b".", b".."];
        let dots = names.into_iter().zip(dots).map(|(name, ino)| (name, ino, dirent_type(S_IFDIR)));
        let entries = self.entries.iter().map(|(name, id)| (name.as_bytes(), id.0, id.1));
        let skip = usize::try_from(cursor).unwrap_or(usize::MAX);
        for (name, ino, kind) in dots.chain(entries).skip(skip) {
            if !sink.add(DirEntry { ino, next: cursor + 1, kind, name }) {
                break;
            }
            cursor += 1;
        }
        cursor
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.charge.sub(LISTED_BYTES * self.entries.len() as u64, Kind::Kernel);
    }
}

/// The listing of an open directory: it shows what was there when it was first read or rewound.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct OpenListing(Mutex<Option<Arc<Listing>>>);

impl OpenListing {
    /// The listing, made by `list` if there is none yet or the cursor is at the start.
    pub(crate) fn at(
        &self,
        cursor: u64,
        list: impl FnOnce() -> Result<Arc<Listing>, Errno>,
    ) -> Result<Arc<Listing>, Errno> {
        let known = self.0.lock().clone().filter(|_| cursor > 0);
        if let Some(known) = known {
            return Ok(known);
        }
        let new = list()?;
        let old = self.0.lock().replace(Arc::clone(&new));
        drop(old);
        Ok(new)
    }
}
