//! `list`: all containers under `--root`.

use anyhow::Result;
use clap::ValueEnum;

use super::state::{current, show};
use crate::container::{State, Status};
use crate::runtime::Runtime;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of the list
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// Only the names
    #[arg(long, short)]
    quiet: bool,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    #[default]
    Table,
    /// For a program.
    Json,
}

/// Runs it.
pub(crate) fn run(runtime: &Runtime, args: &Args) -> Result<()> {
    let root = runtime.root()?;
    let mut containers = Vec::new();
    for id in root.ids()? {
        // One that is deleted meanwhile is not there.
        if let Some(folder) = root.open_folder(&id)?
            && let Some(state) = folder.read_state()?
        {
            containers.push((current(&folder, &state), state));
        }
    }
    match args.format {
        _ if args.quiet => containers.iter().for_each(|(_, state)| println!("{}", state.id)),
        Format::Json => println!(
            "{}",
            serde_json::Value::from_iter(
                containers.iter().map(|(status, state)| show(state, *status))
            )
        ),
        Format::Table => print!("{}", table(&containers)),
    }
    Ok(())
}

fn table(containers: &[(Status, State)]) -> String {
    let width = containers.iter().map(|(_, state)| state.id.len()).max().unwrap_or(0).max(2);
    let mut text =
        format!("{:width$}  {:>8}  {:8}  {:30}  BUNDLE\n", "ID", "PID", "STATUS", "CREATED");
    for (status, state) in containers {
        text += &format!(
            "{:width$}  {:>8}  {:8}  {:30}  {}\n",
            state.id,
            state.pid(),
            status.to_string(),
            state.created,
            state.bundle.display()
        );
    }
    text
}
