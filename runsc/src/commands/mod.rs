//! One file per command: its arguments and what it does.

pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod debug;
pub(crate) mod delete;
pub(crate) mod r#do;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod help;
pub(crate) mod hidden;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod shadow;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;
pub(crate) mod wait;

use anyhow::Result;

use crate::boot;
use crate::cli::Verb;
use crate::runtime::Runtime;
use crate::sandbox;

/// Does what is asked; returns the status to exit with.
pub(crate) fn run(runtime: &Runtime, verb: Verb) -> Result<i32> {
    match verb {
        Verb::Do(args) => r#do::run(runtime, args),
        Verb::Run(args) => run::run(runtime, &args),
        Verb::Exec(args) => exec::run(runtime, &args),
        Verb::Restore(args) => restore::run(runtime, &args),
        Verb::Boot(_) => boot::boot(),
        Verb::ExecShadow(_) => shadow::run(),
        verb => run_simple(runtime, verb).map(|()| 0),
    }
}

fn run_simple(runtime: &Runtime, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(runtime, &args),
        Verb::Start(args) => start::run(runtime, &args),
        Verb::State(args) => state::run(runtime, &args),
        Verb::Kill(args) => kill::run(runtime, &args),
        Verb::Delete(args) => delete::run(runtime, &args),
        Verb::List(args) => list::run(runtime, &args),
        Verb::Ps(args) => ps::run(runtime, &args),
        Verb::Wait(args) => wait::run(runtime, &args),
        Verb::Pause(args) => pause::pause(runtime, &args),
        Verb::Resume(args) => pause::resume(runtime, &args),
        Verb::Events(args) => events::run(runtime, &args),
        Verb::Update(args) => update::run(runtime, &args),
        Verb::Checkpoint(args) => checkpoint::run(runtime, &args),
        Verb::Debug(args) => debug::run(runtime, &args),
        Verb::Spec(args) => spec::run(&args),
        Verb::Features => features::run(),
        Verb::Help(args) => help::run(&args),
        Verb::Gofer(_) => sandbox::serve(),
        Verb::Do(_)
        | Verb::Run(_)
        | Verb::Restore(_)
        | Verb::Exec(_)
        | Verb::Boot(_)
        | Verb::ExecShadow(_) => Ok(()),
    }
}
