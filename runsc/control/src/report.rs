//! One structured error: which step, which field or path, which errno.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Why a step failed, in the form that crosses process borders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was being done, as a short phrase ("mount /proc", "install the seccomp filter").
    pub step: String,
    /// The field of config.json, or the path, that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The Linux error number, when a system call said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What went wrong, for a person.
    pub message: String,
}

impl Report {
    /// A report of `step` with its message.
    pub fn new(step: impl Into<String>, message: impl Into<String>) -> Self {
        Self { step: step.into(), message: message.into(), ..Self::default() }
    }

    /// The same, from the error of a system call.
    pub fn from_io(step: impl Into<String>, error: &std::io::Error) -> Self {
        Self { errno: error.raw_os_error(), ..Self::new(step, error.to_string()) }
    }

    /// Names the field or path that the report is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "{}: ", self.step)?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_prints_step_subject_and_message() {
        let error = std::io::Error::from_raw_os_error(2);
        let report = Report::from_io("bind mount", &error).about("/data");
        assert_eq!(report.errno, Some(2));
        assert_eq!(report.to_string(), format!("bind mount: /data: {error}"));
    }
}
