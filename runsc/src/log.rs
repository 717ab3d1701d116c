//! Log lines in the two formats that engines read, and where they go.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

use crate::container::now;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// `time="…" level=… msg="…"`.
    #[default]
    Text,
    /// One object per line: level, msg, time.
    Json,
}

/// Where log lines of this command go.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    /// `--log`, for the engine: warnings and errors.
    pub(crate) log: Option<File>,
    /// Its format.
    pub(crate) format: LogFormat,
    /// `--debug-log`, for a person; stderr without it.
    pub(crate) debug_log: Option<File>,
    /// `--debug`.
    pub(crate) debug: bool,
}

/// Opens a log file; a folder gets a file of our name.
pub(crate) fn open(path: &Path) -> Result<File> {
    let path = if path.is_dir() { path.join("runsc.log") } else { path.to_owned() };
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options.open(&path).with_context(|| format!("open the log file {}", path.display()))
}

/// From now on log lines of this process go to `destinations`.
pub(crate) fn start(destinations: Destinations) {
    let level = if destinations.debug { LevelFilter::DEBUG } else { LevelFilter::WARN };
    // A warning must reach somebody.
    let person = match destinations.debug_log {
        None if destinations.debug || destinations.log.is_none() => stderr(),
        file => file,
    };
    let person = person.map(|file| Lines::new(file, LogFormat::Text).with_filter(level));
    let log = destinations.log.map(|file| Lines::new(file, destinations.format).with_filter(level));
    let subscriber = tracing_subscriber::registry().with(log).with(person);
    // Only tests run more than one command in a process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The same in a sandbox, which has one descriptor for everything.
pub(crate) fn start_in_sandbox(file: OwnedFd, debug: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let lines = Lines::new(File::from(file), LogFormat::Text).with_filter(level);
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

fn stderr() -> Option<File> {
    rustix::io::dup(rustix::stdio::stderr()).ok().map(File::from)
}

/// Writes the line by which an engine shows its user why a command failed.
pub(crate) fn write_error(log: Option<&mut File>, format: LogFormat, message: &str) {
    if let Some(log) = log {
        let _ = log.write_all(line(format, Level::ERROR, message).as_bytes());
    }
}

/// Writes one line per event.
#[derive(Debug)]
struct Lines {
    file: Mutex<File>,
    format: LogFormat,
}

impl Lines {
    fn new(file: File, format: LogFormat) -> Self {
        Self { file: Mutex::new(file), format }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let line = line(self.format, *event.metadata().level(), &(message.text + &message.fields));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(line.as_bytes());
    }
}

fn line(format: LogFormat, level: Level, message: &str) -> String {
    let level = match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    };
    match format {
        LogFormat::Json => {
            json!({"level": level, "msg": message, "time": now()}).to_string() + "\n"
        }
        LogFormat::Text => format!("time={:?} level={level} msg={message:?}\n", now()),
    }
}

/// An event's message, and its fields behind it.
#[derive(Debug, Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_has_the_three_fields_that_a_shim_reads() {
        let line = line(LogFormat::Json, Level::ERROR, "no \"such\" file");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["msg"], "no \"such\" file");
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
        assert!(line.ends_with('\n'));
    }

    #[test]
    fn a_text_line_stays_one_line() {
        let line = line(LogFormat::Text, Level::WARN, "two\nlines");
        assert!(line.contains(r#"level=warning msg="two\nlines""#));
    }
}
