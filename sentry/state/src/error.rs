//! Why a save or a load failed, and where.

use std::fmt;

/// Result of saving or loading.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with the path of types and fields that leads to it.
///
/// One pointer wide, because every value that is saved or loaded returns a [`Result`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    cause: Cause,
    /// Innermost step first: steps are added while the error travels outwards.
    path: Vec<&'static str>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The image ends early or holds what no save writes.
    Damaged {
        /// Offset in the image.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The image was written by a newer version.
    TooNew {
        /// Version of the image.
        found: u32,
        /// Version of this program.
        known: u32,
    },
    /// The image names a type that is not registered.
    UnknownType(String),
    /// A type's fields have changed without `#[state(since = N)]`.
    OtherFields(String),
    /// A lock is held, a type is not registered, a resource can't be re-opened, …
    CannotSave(String),
    /// A resource cannot be re-opened, an invariant does not hold, …
    CannotLoad(String),
}

impl Error {
    /// The present state can't be saved; `why` is for the person who asked for the save.
    #[must_use]
    pub fn cannot_save(why: impl Into<String>) -> Self {
        Cause::CannotSave(why.into()).into()
    }

    /// The image is well-formed but can't be brought to life here.
    #[must_use]
    pub fn cannot_load(why: impl Into<String>) -> Self {
        Cause::CannotLoad(why.into()).into()
    }

    pub(crate) fn damaged(at: usize, what: &'static str) -> Self {
        Cause::Damaged { at, what }.into()
    }

    /// Adds an outer step (`"Task.files"`); the derives do so for each field.
    #[must_use]
    #[cold]
    pub fn within(mut self, step: &'static str) -> Self {
        self.0.path.push(step);
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The types and fields that lead to the fault, outermost first.
    pub fn path(&self) -> impl Iterator<Item = &'static str> {
        self.0.path.iter().rev().copied()
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(Inner { cause, path: Vec::new() }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().try_for_each(|step| write!(f, "{step}: "))?;
        self.cause().fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at, what } => write!(f, "damaged image: {what} (at byte {at})"),
            Self::TooNew { found, known } => {
                write!(f, "the image has version {found}, this program knows up to {known}")
            }
            Self::UnknownType(name) => write!(f, "the image has an unknown type {name}"),
            Self::OtherFields(name) => write!(f, "{name} has other fields in the image"),
            Self::CannotSave(why) => write!(f, "cannot save: {why}"),
            Self::CannotLoad(why) => write!(f, "cannot load: {why}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_costs_a_result_no_more_than_a_pointer() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn the_message_names_the_outermost_step_first() {
        let error = Error::cannot_save("a lock is held").within("Regs.pc").within("Task.regs");
        assert_eq!(error.to_string(), "Task.regs: Regs.pc: cannot save: a lock is held");
    }
}
