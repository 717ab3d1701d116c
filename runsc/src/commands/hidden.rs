//! Arguments of the processes that `runsc` starts itself.

/// The rest comes by descriptor; this is for people who look at `ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    _id: String,
}
