//! The one place that names platforms.

use std::sync::Arc;

use anyhow::{Result, bail};
use platform::Platform;

use crate::options::{Options, PlatformChoice};

/// Starts the platform that `--platform` asks for.
pub(super) fn choose(options: &Options) -> Result<Option<Arc<dyn Platform>>> {
    match options.platform {
        PlatformChoice::Kvm => bail!("--platform=kvm: not built yet"),
        PlatformChoice::Ptrace => Ok(None),
        PlatformChoice::Auto => {
            tracing::info!("platform ptrace: kvm is not built yet");
            Ok(None)
        }
    }
}
