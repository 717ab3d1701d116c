//! One client of the control server.

use std::os::fd::OwnedFd;

use control::Reply;

use crate::channel::Channel;

/// A connection and what the server owes it.
#[derive(Debug)]
pub(super) struct Connection {
    channel: Channel,
    /// It waits for the end of this process; the inner `None` is the first one.
    waits_for: Option<Option<i32>>,
    /// Processes that must not outlive it.
    owns: Vec<i32>,
}

impl Connection {
    /// Over a non-blocking socket, if the peer may command.
    pub(super) fn accept(fd: OwnedFd, owner: u32) -> Option<Self> {
        let channel = Channel::from(fd);
        match channel.peer_uid() {
            Ok(uid) if uid == owner || uid == 0 => {
                Some(Self { channel, waits_for: None, owns: Vec::new() })
            }
            refused => {
                tracing::warn!("control connection refused: peer {refused:?}");
                None
            }
        }
    }

    /// Its socket.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Sends a reply; false when the connection is of no more use. A client that does not read what it
    /// asked for is not waited for.
    #[must_use]
    pub(super) fn reply(&self, reply: &Reply) -> bool {
        self.channel.send(reply, &[]).is_ok()
    }

    /// Remembers that it waits for a process.
    pub(super) fn wait_for(&mut self, pid: Option<i32>) {
        self.waits_for = Some(pid);
    }

    /// What it waits for.
    pub(super) fn waits_for(&self) -> Option<Option<i32>> {
        self.waits_for
    }

    /// It has its answer.
    pub(super) fn answered(&mut self) {
        self.waits_for = None;
    }

    /// Ties a process to it.
    pub(super) fn own(&mut self, pid: i32) {
        self.owns.push(pid);
    }

    /// The processes tied to it.
    pub(super) fn owned(&self) -> &[i32] {
        &self.owns
    }
}
