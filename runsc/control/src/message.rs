//! Requests, replies and their encoding.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Process, Report, WindowSize};

/// Version of the messages; both ends must have the same.
pub const VERSION: u32 = 1;

/// One packet from `runsc` to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// What is asked.
    pub command: Command,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { version: VERSION, command }
    }
}

/// What `runsc` can ask of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Let the container's init run.
    Start,
    /// Tell how far the container is.
    Status,
    /// Send a signal inside.
    Signal {
        /// To whom.
        target: Target,
        /// Linux signal number.
        signal: i32,
    },
    /// Run one more process. Beside it: the slave of a host pty when `process.terminal` is set, else
    /// stdin, stdout, stderr.
    Exec {
        /// What to run.
        process: Process,
        /// Host process that stands for it, for `ps`.
        host_pid: Option<i32>,
        /// Kill it when this connection ends.
        owned: bool,
    },
    /// Reply when the process has ended; `None` is init.
    Wait {
        /// Process id inside, as `Exec` replied it.
        pid: Option<i32>,
    },
    /// List the processes inside.
    Processes,
    /// The host terminal of a process has a new size.
    Resize {
        /// Process id inside; `None` is init.
        pid: Option<i32>,
        /// The new size.
        size: WindowSize,
    },
    /// Stop all tasks at the user boundary.
    Pause,
    /// Undo `Pause`.
    Resume,
    /// Describe all tasks, for a person.
    Dump,
    /// Write the sandbox to the two descriptors beside it: state, pages.
    Save,
}

/// Receiver of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The container's first process.
    Init,
    /// Every process of the container.
    All,
    /// One process, by its id inside.
    Pid(i32),
}

/// How far a container is, as its Sentry knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Ready; init does not run yet.
    Created,
    /// Init runs.
    Running,
    /// All tasks are stopped by `Pause`.
    Paused,
    /// Init has ended; the sandbox is about to end.
    Stopped,
}

/// One packet from a sandbox to `runsc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// Not done, and why.
    Failed(Report),
    /// To `Status`.
    Status(RunState),
    /// To `Exec`: the id inside.
    Started {
        /// Process id inside.
        pid: i32,
    },
    /// To `Wait`: the exit status, 128 + signal for a killed process.
    Exited {
        /// The status.
        status: i32,
    },
    /// To `Processes`.
    Processes(Vec<ProcessEntry>),
    /// To `Dump`.
    Text(String),
}

/// One line of `ps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// Process id inside.
    pub pid: i32,
    /// Its parent inside.
    pub ppid: i32,
    /// User id inside.
    pub uid: u32,
    /// Host process that stands for it, when it was started by `exec`.
    pub host_pid: Option<i32>,
    /// State letter as in `ps`.
    pub state: String,
    /// Processor time used, in milliseconds.
    pub time_ms: u64,
    /// Name and arguments.
    pub command: String,
}

/// The packet of `message`.
///
/// # Errors
///
/// A report when the message can't be written as JSON.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Report> {
    serde_json::to_vec(message).map_err(|error| Report::new("encode a message", error.to_string()))
}

/// The message of a packet.
///
/// # Errors
///
/// A report when the bytes are no such message.
pub fn decode<T: DeserializeOwned>(packet: &[u8]) -> Result<T, Report> {
    serde_json::from_slice(packet)
        .map_err(|error| Report::new("decode a message", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_encoding() {
        let process = Process { args: vec!["sh".into()], uid: 7, ..Process::default() };
        let request = Request::new(Command::Exec { process, host_pid: Some(12), owned: true });
        let packet = encode(&request).unwrap();
        assert_eq!(decode::<Request>(&packet).unwrap(), request);
    }

    #[test]
    fn a_packet_that_is_no_message_is_a_report() {
        for packet in [&b""[..], b"{}", b"\xff\xff", b"{\"version\":1,\"command\":\"Fly\"}"] {
            assert_eq!(decode::<Request>(packet).unwrap_err().step, "decode a message");
        }
    }
}
