//! The states of a container and what each command may do in them (OCI runtime specification, "Lifecycle").

use std::fmt;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// How far a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// `create` is at work, or died at it.
    Creating,
    /// Ready for `start`.
    Created,
    /// Init runs.
    Running,
    /// All its tasks are held.
    Paused,
    /// Init has ended, or its sandbox has.
    Stopped,
}

/// A command that depends on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Let init run.
    Start,
    /// Send a signal.
    Kill,
    /// Remove it.
    Delete,
    /// Run one more process.
    Exec,
    /// Hold all tasks.
    Pause,
    /// Undo pause.
    Resume,
    /// Save to files.
    Checkpoint,
    /// Change its limits.
    Update,
}

impl Status {
    /// Refuses what `verb` can't do in this state, in the words that engines look for.
    pub(crate) fn allow(self, verb: Verb, id: &str) -> Result<()> {
        use Status::{Created, Paused, Running, Stopped};
        match (verb, self) {
            (Verb::Start, Created)
            | (Verb::Kill, Created | Running | Paused)
            | (Verb::Delete, Created | Stopped)
            | (Verb::Exec, Running)
            | (Verb::Pause, Running)
            | (Verb::Checkpoint, Running | Paused)
            | (Verb::Update, Created | Running | Paused)
            | (Verb::Resume, Paused) => Ok(()),
            (
                Verb::Kill
                | Verb::Exec
                | Verb::Pause
                | Verb::Resume
                | Verb::Checkpoint
                | Verb::Update,
                Stopped,
            ) => bail!("container not running"),
            (Verb::Start, Stopped) => bail!("cannot start a container that has stopped"),
            (Verb::Start, Running | Paused) => {
                bail!("cannot start an already running container")
            }
            (Verb::Delete, _) => {
                bail!("cannot delete container {id} that is not stopped: {self}")
            }
            (Verb::Exec, Paused) => bail!("cannot exec in a paused container"),
            (Verb::Resume, _) => bail!("container not paused"),
            (_, Status::Creating) => bail!("container {id} is still being created"),
            (Verb::Exec | Verb::Pause | Verb::Checkpoint, _) => bail!("container not running"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Status; 5] =
        [Status::Creating, Status::Created, Status::Running, Status::Paused, Status::Stopped];

    fn allowed(verb: Verb) -> Vec<Status> {
        ALL.into_iter().filter(|status| status.allow(verb, "c").is_ok()).collect()
    }

    #[test]
    fn each_command_works_in_its_states_only() {
        use Status::{Created, Paused, Running, Stopped};
        assert_eq!(allowed(Verb::Start), [Created]);
        assert_eq!(allowed(Verb::Kill), [Created, Running, Paused]);
        assert_eq!(allowed(Verb::Delete), [Created, Stopped]);
        assert_eq!(allowed(Verb::Exec), [Running]);
        assert_eq!(allowed(Verb::Pause), [Running]);
        assert_eq!(allowed(Verb::Resume), [Paused]);
        assert_eq!(allowed(Verb::Checkpoint), [Running, Paused]);
        assert_eq!(allowed(Verb::Update), [Created, Running, Paused]);
    }

    #[test]
    fn killing_a_stopped_container_uses_the_words_that_engines_look_for() {
        let error = Status::Stopped.allow(Verb::Kill, "c").unwrap_err();
        assert_eq!(error.to_string(), "container not running");
    }
}
