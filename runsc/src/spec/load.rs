//! Reading config.json. Type errors name their field; fields that nothing knows are logged.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use control::Report;
use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{field, validate};

/// More than any engine writes; a bound on what a wrong path can make us read.
const CONFIG_LIMIT: u64 = 16 << 20;

/// A bundle folder and its checked config.json.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// The folder, absolute.
    pub(crate) path: PathBuf,
    /// Its config.json.
    pub(crate) spec: Spec,
}

/// Reads and checks the bundle at `path`.
pub(crate) fn load(path: &Path) -> Result<Bundle> {
    let path = fs::canonicalize(path).with_context(|| format!("bundle {}", path.display()))?;
    let text = read(&path.join("config.json"))?;
    let spec = parse(&text)?;
    validate::check(&spec, &path)?;
    Ok(Bundle { path, spec })
}

/// Reads the process description of `exec --process FILE`.
pub(crate) fn parse_process(path: &Path) -> Result<Process> {
    let value = json(&read(path)?)?;
    let process: Process = typed(&default_user(value))?;
    validate::check_process(&process, "")?;
    Ok(process)
}

/// Reads the limits of `update --resources FILE`; `-` is standard input.
pub(crate) fn parse_resources(path: &Path) -> Result<LinuxResources> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().take(CONFIG_LIMIT).read_to_string(&mut text).context("standard input")?;
        text
    } else {
        read(path)?
    };
    Ok(typed(&json(&text)?)?)
}

fn read(path: &Path) -> Result<String> {
    let size = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    anyhow::ensure!(size <= CONFIG_LIMIT, "{}: larger than {CONFIG_LIMIT} bytes", path.display());
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The typed form of a config.json text.
pub(super) fn parse(text: &str) -> Result<Spec, Report> {
    let mut value = json(text)?;
    if let Some(process) = value.get_mut("process").filter(|process| process.is_object()) {
        *process = default_user(process.take());
    }
    typed(&value)
}

fn json(text: &str) -> Result<Value, Report> {
    serde_json::from_str(text)
        .map_err(|error| Report::new("config.json", format!("not valid JSON: {error}")))
}

/// Engines written in Go leave out what is zero; the typed form insists on `user`.
fn default_user(mut process: Value) -> Value {
    if let Some(process) = process.as_object_mut() {
        process.entry("user").or_insert_with(|| Value::Object(Map::new()));
    }
    process
}

fn typed<T: DeserializeOwned + Serialize>(value: &Value) -> Result<T, Report> {
    let typed: T = serde_path_to_error::deserialize(value)
        .map_err(|error| field(error.path().to_string(), error.inner().to_string()))?;
    if let Ok(known) = serde_json::to_value(&typed) {
        for name in unknown_fields(value, &known) {
            tracing::warn!("config.json: {name}: unknown field, ignored");
        }
    }
    Ok(typed)
}

/// Fields of `given` that did not survive the typed form `known` and say something.
fn unknown_fields(given: &Value, known: &Value) -> Vec<String> {
    let mut names = Vec::new();
    compare(given, known, "", &mut names);
    names
}

fn compare(given: &Value, known: &Value, path: &str, names: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(known) => compare(value, known, &path, names),
                    None if is_empty(value) => {}
                    None => names.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                compare(given, known, &format!("{path}[{index}]"), names);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_type_names_its_field_and_what_was_expected() {
        let text = r#"{"ociVersion":"1.0.2","process":{"args":["a",5],"cwd":"/"}}"#;
        let message = complaint(text);
        assert!(message.contains("process.args[1]"), "{message}");
        assert!(message.contains("expected a string"), "{message}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let message = complaint(r#"{"ociVersion":"1.0.2","process":{"args":["a"]}}"#);
        assert!(message.contains("process: missing field `cwd`"), "{message}");
    }

    #[test]
    fn text_that_is_no_json_says_where() {
        assert!(complaint("{\"ociVersion\":").contains("line 1"));
    }

    #[test]
    fn an_unknown_capability_names_its_set() {
        let text = r#"{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/",
            "capabilities":{"bounding":["CAP_FLY"]}}}"#;
        assert!(complaint(text).contains("process.capabilities.bounding"));
    }

    #[test]
    fn a_process_without_user_is_root() {
        let spec = parse(r#"{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/"}}"#).unwrap();
        assert_eq!(spec.process().as_ref().unwrap().user().uid(), 0);
    }

    #[test]
    fn unknown_fields_are_found_by_path() {
        let given = serde_json::json!({"a": {"x": 1, "y": 2}, "b": [{"z": 1}], "c": null});
        let known = serde_json::json!({"a": {"x": 1}, "b": [{}]});
        assert_eq!(unknown_fields(&given, &known), ["a.y", "b[0].z"]);
    }
}
