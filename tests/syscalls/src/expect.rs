//! Known failures.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::source_root;

use crate::report::{Outcome, Report};

/// Which cases are known to fail at one place, each with its reason.
#[derive(Debug, Default)]
pub struct Expectations {
    patterns: Vec<String>,
}

impl Expectations {
    /// Reads `tests/expect/PLACE.txt`: lines of a pattern `PROGRAM/CASE` (`*` stands for any text),
    /// then the reason; `#` starts a comment.
    ///
    /// # Errors
    ///
    /// When a line has no reason, or the file cannot be read.
    pub fn of(place: &str) -> Result<Self> {
        let path = source_root().join("tests/expect").join(format!("{place}.txt"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::read(&text).with_context(|| path.display().to_string())
    }

    fn read(text: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (pattern, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            ensure!(!reason.trim().is_empty(), "no reason: {line}");
            patterns.push(pattern.to_owned());
        }
        Ok(Self { patterns })
    }

    fn knows(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, name))
    }

    /// What is wrong with `report` of `program`: cases that failed by surprise, and cases that passed
    /// although they are known to fail.
    #[must_use]
    pub fn surprises(&self, program: &str, report: &Report) -> Vec<String> {
        let mut surprises = Vec::new();
        for case in &report.cases {
            let name = format!("{program}/{}", case.name);
            match (case.outcome, self.knows(&name)) {
                (Outcome::Failed, false) => surprises.push(format!("{name}: {}", case.why)),
                (Outcome::Ok, true) => surprises.push(format!("{name}: passes, but is listed")),
                _ => {}
            }
        }
        if !report.is_complete && !self.knows(&format!("{program}/done")) {
            surprises.push(format!("{program}/done: the program did not reach its end"));
        }
        surprises
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).filter_map(|at| name.get(at..)).any(|end| matches(rest, end))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("a/*", "a/b") && matches("*b*", "abc") && matches("a", "a"));
        assert!(!matches("a/*", "b/a") && !matches("a", "ab") && !matches("a*c", "ab"));
    }

    #[test]
    fn a_pattern_needs_its_reason() {
        assert!(Expectations::read("a/b\n").is_err());
        assert_eq!(Expectations::read("# x\n\na/b no sockets yet\n").unwrap().patterns, ["a/b"]);
    }

    #[test]
    fn both_kinds_of_surprise_are_told() {
        let known = Expectations::read("p/b why\np/c why\n").unwrap();
        let report = Report::read("FAIL a: x\nok b\nFAIL c: y\nok d\ndone 4\n");
        let surprises = known.surprises("p", &report);
        assert_eq!(surprises, ["p/a: x", "p/b: passes, but is listed"]);
    }

    #[test]
    fn an_early_end_is_a_surprise_unless_it_is_listed() {
        let report = Report::read("ok a\n");
        assert_eq!(Expectations::default().surprises("p", &report).len(), 1);
        let known = Expectations::read("p/done hangs\n").unwrap();
        assert!(known.surprises("p", &report).is_empty());
    }
}
