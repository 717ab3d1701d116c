//! `state`: the container as the OCI runtime specification shows it.

use std::time::Duration;

use anyhow::Result;
use control::{Command, Reply, Request, RunState};
use serde_json::{Value, json};

use crate::channel;
use crate::container::{Folder, State, Status};
use crate::runtime::Runtime;
use crate::spec::OCI_VERSION;

/// How long a busy sandbox may take to answer; then what was recorded counts.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `state`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let folder = runtime.root()?.find(&args.id)?;
    let state = folder.state()?;
    println!("{:#}", show(&state, current(&folder, &state)));
    Ok(())
}

/// The state as JSON.
pub(super) fn show(state: &State, status: Status) -> Value {
    json!({
        "ociVersion": OCI_VERSION,
        "id": state.id,
        "pid": if status == Status::Stopped { 0 } else { state.pid() },
        "status": status,
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
        "owner": state.owner.to_string(),
        "annotations": state.annotations,
    })
}

/// The status now. A command may have been killed between its effect and its record, so a living sandbox is
/// asked.
pub(crate) fn current(folder: &Folder, state: &State) -> Status {
    match state.current() {
        recorded @ (Status::Creating | Status::Stopped) => recorded,
        recorded => match ask(folder) {
            Ok(RunState::Created) => Status::Created,
            Ok(RunState::Running) => Status::Running,
            Ok(RunState::Paused) => Status::Paused,
            Ok(RunState::Stopped) => Status::Stopped,
            Err(error) => {
                tracing::info!("ask container {} for its state: {error:#}", state.id);
                if state.current() == Status::Stopped { Status::Stopped } else { recorded }
            }
        },
    }
}

fn ask(folder: &Folder) -> Result<RunState> {
    let channel = channel::open(folder)?;
    channel.send(&Request::new(Command::Status), &[])?;
    anyhow::ensure!(channel.wait(PATIENCE)?, "no answer within {PATIENCE:?}");
    match channel.reply()? {
        Reply::Status(status) => Ok(status),
        reply => anyhow::bail!("unexpected reply {reply:?}"),
    }
}
