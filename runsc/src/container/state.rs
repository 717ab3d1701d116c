//! state.json: what is known of a container between two commands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Hooks;
use serde::{Deserialize, Serialize};

use super::{HostProcess, Status};

/// Everything that later commands need.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// The container's name.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// The root of its files on the host.
    pub(crate) rootfs: PathBuf,
    /// When it was created.
    pub(crate) created: String,
    /// Host user id of who created it.
    pub(crate) owner: u32,
    /// How far `runsc` brought it; a dead sandbox overrules this.
    pub(crate) status: Status,
    /// The Sentry process, which is the container's pid.
    pub(crate) sandbox: Option<HostProcess>,
    /// The file server.
    pub(crate) gofer: Option<HostProcess>,
    /// The process that `create` runs in, while it does.
    pub(crate) creator: Option<HostProcess>,
    /// Folders in the host's cgroup trees to remove with it.
    pub(crate) cgroups: Vec<PathBuf>,
    /// From config.json.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Programs that the engine wants to run later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<Hooks>,
    /// The environment, user and capabilities that `exec` starts from.
    pub(crate) process: control::Process,
}

impl State {
    /// The status as the host's processes show it.
    pub(crate) fn current(&self) -> Status {
        let alive = |process: Option<HostProcess>| process.is_some_and(HostProcess::is_alive);
        match self.status {
            Status::Creating if alive(self.creator) => Status::Creating,
            Status::Creating => Status::Stopped,
            status if alive(self.sandbox) => status,
            _ => Status::Stopped,
        }
    }

    /// The pid to show; 0 when there is none (OCI runtime specification, "State").
    pub(crate) fn pid(&self) -> i32 {
        match self.current() {
            Status::Stopped => 0,
            _ => self.sandbox.map_or(0, |sandbox| sandbox.pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Status) -> State {
        State {
            id: "c".into(),
            bundle: "/".into(),
            rootfs: "/".into(),
            created: String::new(),
            owner: 0,
            status,
            sandbox: None,
            gofer: None,
            creator: None,
            cgroups: Vec::new(),
            annotations: BTreeMap::new(),
            hooks: None,
            process: control::Process::default(),
        }
    }

    fn myself() -> Option<HostProcess> {
        HostProcess::of(i32::try_from(std::process::id()).unwrap()).ok()
    }

    #[test]
    fn a_container_whose_sandbox_is_gone_is_stopped() {
        for status in [Status::Creating, Status::Created, Status::Running, Status::Paused] {
            assert_eq!(state(status).current(), Status::Stopped);
            assert_eq!(state(status).pid(), 0);
        }
    }

    #[test]
    fn a_living_sandbox_keeps_the_recorded_status() {
        for status in [Status::Created, Status::Running, Status::Paused] {
            let state = State { sandbox: myself(), ..state(status) };
            assert_eq!(state.current(), status);
            assert_ne!(state.pid(), 0);
        }
    }

    #[test]
    fn a_container_is_being_created_only_while_its_creator_lives() {
        let state = State { creator: myself(), ..state(Status::Creating) };
        assert_eq!(state.current(), Status::Creating);
    }

    #[test]
    fn a_state_survives_its_file() {
        let text = serde_json::to_string(&State { sandbox: myself(), ..state(Status::Paused) });
        let state: State = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(state.current(), Status::Paused);
    }
}
