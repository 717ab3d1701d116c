//! Spoiled configurations: each ends in an error that says why, never in a panic, a signal or a hang.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use harness::{Bundle, Kind, Output, Rootfs, Runtime};
use serde_json::{Value, json};

fn bundle() -> Result<Bundle> {
    Bundle::new(&Rootfs::busybox()?, &["/bin/true"])
}

fn run(runtime: &Runtime, bundle: &Bundle) -> Result<Output> {
    let output = runtime.run(bundle)?;
    let code = output.code();
    ensure!(!output.timed_out && code < 128, "{code}: {output:?}");
    ensure!(!output.stderr.contains("panicked"), "{output:?}");
    ensure!(output.status.success() || !output.stderr.is_empty(), "silent: {output:?}");
    let left = runtime.left_by(&bundle.id())?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(output)
}

/// Every place in `value`, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{at}/{name}"), found);
            }
        }
        // One of a list stands for all of it.
        Value::Array(items) => {
            if let Some(first) = items.first() {
                places(first, &format!("{at}/0"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_value_of_the_wrong_kind_in_any_place_is_survived() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let good = bundle()?;
    let mut all = Vec::new();
    places(good.config(), "", &mut all);
    let wrong = [json!(null), json!(-1), json!("\u{0}"), json!([[]]), json!({ "x": {} })];
    for (number, place) in all.iter().enumerate() {
        let bundle = bundle()?.edit(|config| {
            if let Some(value) = config.pointer_mut(place) {
                *value = wrong[number % wrong.len()].clone();
            }
        })?;
        run(&runtime, &bundle)?;
    }
    Ok(())
}

#[test]
fn an_error_names_the_field() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let wrong =
        [("/process/args", json!([])), ("/process/cwd", json!("relative")), ("/root", json!(5))];
    for (place, value) in wrong {
        let bundle = bundle()?.edit(|config| {
            if let Some(field) = config.pointer_mut(place) {
                *field = value;
            }
        })?;
        let output = run(&runtime, &bundle)?;
        let field = place.rsplit('/').next().unwrap_or(place);
        ensure!(!output.status.success() && output.stderr.contains(field), "{place}: {output:?}");
    }
    Ok(())
}

#[test]
fn a_missing_rootfs_is_named() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = bundle()?.edit(|config| config["root"]["path"] = json!("/no/such/rootfs"))?;
    let output = run(&runtime, &bundle)?;
    ensure!(!output.status.success() && output.stderr.contains("/no/such/rootfs"), "{output:?}");
    Ok(())
}

#[test]
fn a_cut_configuration_is_refused_at_any_length() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = bundle()?;
    let text = bundle.config().to_string();
    for cut in (0..text.len()).step_by(text.len() / 12) {
        bundle.spoil(text.get(..cut).unwrap_or_default())?;
        ensure!(!run(&runtime, &bundle)?.status.success(), "cut at {cut}");
    }
    Ok(())
}

#[test]
fn a_deep_or_a_large_configuration_is_survived() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = bundle()?;
    for text in ["[".repeat(100_000), "{\"process\":".repeat(50_000), " ".repeat(2_000_000)] {
        bundle.spoil(&text)?;
        ensure!(!run(&runtime, &bundle)?.status.success(), "accepted");
    }
    Ok(())
}
