//! Arguments of the processes that `runsc` starts itself.

/// The rest comes by descriptor; this is for people who look at `ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[expect(dead_code, reason = "only shown by the host's ps")]
    id: String,
}
