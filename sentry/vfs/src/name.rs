//! Names of directory entries.

use abi::Errno;
use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest name (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

/// One component of a path: 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// Checks and copies.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` beyond 255 bytes, `EINVAL` for what is no name.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        if bytes.len() > NAME_MAX_BYTES {
            return Err(Errno::ENAMETOOLONG);
        }
        if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err(Errno::EINVAL);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl state::Save for Name {
    const PRINT: u64 = state::print::text("name");

    fn save(&self, w: &mut state::Writer<'_>) -> state::Result<()> {
        w.bytes(&self.0);
        Ok(())
    }
}

impl state::Load for Name {
    fn load(r: &mut state::Reader<'_>) -> state::Result<Self> {
        let bytes = r.bytes()?;
        Self::new(bytes).map_err(|_| r.bad("no name"))
    }
}
