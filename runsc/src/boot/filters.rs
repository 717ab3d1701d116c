//! Host calls of the control thread; and the whole filter of a sandbox process.

use anyhow::Result;

/// Installs the filter of the whole process, for good.
pub(super) fn install() -> Result<()> {
    Ok(())
}
