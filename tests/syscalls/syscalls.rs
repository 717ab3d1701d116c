//! One test for each guest program and place; see the README beside this file.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use syscall_tests::{Case, Expectations, Guest, Outcome, Place, Ran, Report, all};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let guests = all()?;
    let mut trials = Vec::new();
    for place in Place::ALL {
        let known = match place {
            Place::Native => Expectations::default(),
            _ => Expectations::of(place.name())?,
        };
        let known = Arc::new(known);
        for guest in guests.clone() {
            let (place, known) = (*place, Arc::clone(&known));
            let name = format!("{}::{}", place.name(), guest.name());
            trials.push(Trial::test(name, move || {
                run(&guest, place, &known).map_err(|error| failed(&error))
            }));
        }
    }
    Ok(trials)
}

/// Runs `guest` at `place`; the error tells all that was not expected.
fn run(guest: &Guest, place: Place, known: &Expectations) -> Result<()> {
    let Ran { output, left } = place.run(&guest.program()?)?;
    let report = Report::read(&output.stdout);
    let mut surprises = known.surprises(&guest.name(), &report);
    if let Some(left) = left.filter(|left| left != "none") {
        surprises.push(format!("live objects after the last task: {left}"));
    }
    anyhow::ensure!(
        surprises.is_empty(),
        "{}\n{}; exit status {}{}; standard error:\n{}",
        surprises.join("\n"),
        counts(&report.cases),
        output.code(),
        if output.timed_out { ", timed out" } else { "" },
        output.stderr
    );
    Ok(())
}

fn counts(cases: &[Case]) -> String {
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let (ok, failed) = (count(Outcome::Ok), count(Outcome::Failed));
    format!("{ok} cases ok, {failed} failed, {} skipped", count(Outcome::Skipped))
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
