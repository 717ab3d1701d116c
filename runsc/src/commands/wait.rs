//! `wait`: the exit status of a container, or of one of its processes, when it ends.

use anyhow::{Result, bail};
use control::{Command, Reply};
use serde_json::json;

use super::state::current;
use crate::container::Status;
use crate::runtime::{Runtime, connect};

/// Arguments of `wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Wait for this process, by its pid inside
    #[arg(long)]
    pid: Option<i32>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let folder = runtime.root()?.find(&args.id)?;
    let state = folder.state()?;
    if current(&folder, &state) == Status::Stopped {
        bail!("container not running");
    }
    match connect(&folder, &state)?.ask(Command::Wait { pid: args.pid }, &[])? {
        Reply::Exited { status } => {
            let pid = args.pid.unwrap_or(1);
            println!("{}", json!({"id": args.id, "pid": pid, "exitStatus": status}));
            Ok(())
        }
        reply => bail!("unexpected reply {reply:?}"),
    }
}
