//! Extended attributes that lie in memory (xattr(7)).

use std::{collections::BTreeMap, sync::Arc};

use abi::{
    Errno,
    fs::mode::{S_IFDIR, S_IFREG},
};
use auth::Capability;
use mm::{Charge, Kind};
use sched::Mutex;
use vfs::{Ctx, Metadata, XattrFlags};

/// Longest value and longest list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const BYTES_MAX: usize = 65536;
/// Longest name (`XATTR_NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 128;

/// Who an extended attribute is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// `user.`: whoever may read and write the file.
    User,
    /// `trusted.`: who has `CAP_SYS_ADMIN`; others do not even see it.
    Trusted,
    /// `security.`: everybody reads, few write.
    Security,
}

impl Namespace {
    /// The namespace of a name.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for one that is not kept (`system.`), `ERANGE` for a bad length.
    pub(crate) fn of(name: &[u8]) -> Result<Self, Errno> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Errno::ERANGE);
        }
        let prefixes: [(&[u8], Self); 3] =
            [(b"user.", Self::User), (b"trusted.", Self::Trusted), (b"security.", Self::Security)];
        let found = prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
        let (prefix, namespace) = found.ok_or(Errno::EOPNOTSUPP)?;
        if name.len() == prefix.len() { Err(Errno::EINVAL) } else { Ok(*namespace) }
    }

    /// May the caller read attributes of this namespace on such an inode?
    fn check_read(self, cx: &Ctx<'_>, meta: &Metadata) -> Result<(), Errno> {
        match self {
            Self::User if !takes_user(meta) => Err(Errno::ENODATA),
            Self::Trusted if !cx.creds.has(Capability::SysAdmin) => Err(Errno::ENODATA),
            _ => Ok(()),
        }
    }

    /// May the caller change them?
    pub(crate) fn check_write(
        self,
        cx: &Ctx<'_>,
        meta: &Metadata,
        name: &[u8],
    ) -> Result<(), Errno> {
        let allowed = match self {
            Self::User => takes_user(meta),
            Self::Trusted => cx.creds.has(Capability::SysAdmin),
            Self::Security if name == b"security.capability" => cx.creds.has(Capability::Setfcap),
            Self::Security => cx.creds.has(Capability::SysAdmin),
        };
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// Only files and directories have `user.` attributes: the permission bits of others mean
/// something else (xattr(7)).
fn takes_user(meta: &Metadata) -> bool {
    matches!(meta.kind(), S_IFREG | S_IFDIR)
}

/// The extended attributes of an inode.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Xattrs {
    values: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    charge: Arc<Charge>,
}

impl Xattrs {
    pub(crate) fn new(charge: &Arc<Charge>) -> Self {
        Self { values: Mutex::default(), charge: Arc::clone(charge) }
    }

    pub(crate) fn get(&self, cx: &Ctx<'_>, meta: &Metadata, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Namespace::of(name)?.check_read(cx, meta)?;
        self.values.lock().get(name).cloned().ok_or(Errno::ENODATA)
    }

    pub(crate) fn set(
        &self,
        cx: &Ctx<'_>,
        meta: &Metadata,
        (name, value): (&[u8], &[u8]),
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        Namespace::of(name)?.check_write(cx, meta, name)?;
        if value.len() > BYTES_MAX {
            return Err(Errno::E2BIG);
        }
        let mut values = self.values.lock();
        let old = values.get(name).map(|old| cost(name, old));
        match old {
            Some(_) if flags.create => return Err(Errno::EEXIST),
            None if flags.replace => return Err(Errno::ENODATA),
            _ => {}
        }
        let names_len: usize = values.keys().map(|name| name.len() + 1).sum();
        if old.is_none() && names_len + name.len() + 1 > BYTES_MAX {
            return Err(Errno::ENOSPC);
        }
        if !self.charge.add(cost(name, value), Kind::Kernel) {
            return Err(Errno::ENOSPC);
        }
        values.insert(name.to_vec(), value.to_vec());
        self.charge.sub(old.unwrap_or(0), Kind::Kernel);
        Ok(())
    }

    pub(crate) fn list(&self, cx: &Ctx<'_>) -> Vec<Vec<u8>> {
        let sees_trusted = cx.creds.has(Capability::SysAdmin);
        let values = self.values.lock();
        let seen = values.keys().filter(|name| sees_trusted || !name.starts_with(b"trusted."));
        seen.cloned().collect()
    }

    pub(crate) fn remove(&self, cx: &Ctx<'_>, meta: &Metadata, name: &[u8]) -> Result<(), Errno> {
        Namespace::of(name)?.check_write(cx, meta, name)?;
        let old = self.values.lock().remove(name).ok_or(Errno::ENODATA)?;
        self.charge.sub(cost(name, &old), Kind::Kernel);
        Ok(())
    }
}

impl Drop for Xattrs {
    fn drop(&mut self) {
        let total = self.values.get_mut().iter().map(|(name, value)| cost(name, value)).sum();
        self.charge.sub(total, Kind::Kernel);
    }
}

fn cost(name: &[u8], value: &[u8]) -> u64 {
    (ENTRY_BYTES + name.len() + value.len()) as u64
}
