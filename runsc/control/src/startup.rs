//! What a new Sentry or Gofer process tells the `runsc` that started it.

use serde::{Deserialize, Serialize};

use crate::Report;

/// One packet on the start-up channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Startup {
    /// From the process: it is confined and ready to work.
    Ready,
    /// From the process: it can't; it exits after this.
    Failed(Report),
    /// From `runsc`: the container is recorded, the process may outlive its starter.
    Adopt,
}
