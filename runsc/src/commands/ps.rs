//! `ps`: the processes of a container.

use anyhow::{Result, bail};
use control::{Command, ProcessEntry, Reply};

use super::list::Format;
use super::state::current;
use crate::container::Status;
use crate::runtime::{Runtime, connect};

/// Arguments of `ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    id: String,
    /// Form of the list: json gives the host pids that engines were told
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// Accepted for engines
    #[arg(hide = true, trailing_var_arg = true)]
    options: Vec<String>,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let folder = runtime.root()?.find(&args.id)?;
    let state = folder.state()?;
    if current(&folder, &state) == Status::Stopped {
        bail!("container not running");
    }
    let Reply::Processes(processes) = connect(&folder, &state)?.ask(Command::Processes, &[])?
    else {
        bail!("unexpected reply to ps");
    };
    match args.format {
        Format::Json => {
            let exec = processes.iter().filter_map(|process| process.host_pid);
            let pids: Vec<i32> = [state.pid()].into_iter().chain(exec).collect();
            println!("{}", serde_json::to_string(&pids)?);
        }
        Format::Table => print!("{}", table(&processes)),
    }
    Ok(())
}

fn table(processes: &[ProcessEntry]) -> String {
    let mut text = String::from("    UID     PID    PPID S         TIME COMMAND\n");
    for process in processes {
        let seconds = process.time_ms / 1000;
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        text += &format!(
            "{:7} {:7} {:7} {:1} {:>12} {}\n",
            process.uid, process.pid, process.ppid, process.state, time, process.command
        );
    }
    text
}
