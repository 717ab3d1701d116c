//! SEQPACKET sockets with JSON packets and descriptors beside them (unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use control::{Command, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    bind, connect, listen, recvmsg, sendmsg, socket_with, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::container::{CONTROL_SOCKET, Folder};
use crate::sandbox::spawn::peer_uid;

/// The largest packet. The kernel's own limit is the send buffer, about this size where nobody changed it.
const PACKET: usize = 256 << 10;

/// Descriptors beside one packet, at most.
const MAX_FDS: usize = 4;

/// Waiting connections, more than commands run at once on one container.
const BACKLOG: i32 = 64;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl Channel {
    /// Two connected ends.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self { fd: one }, Self { fd: other }))
    }

    /// Sends one packet.
    pub(crate) fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let packet = control::encode(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            ensure!(beside.push(SendAncillaryMessage::ScmRights(fds)), "too many descriptors");
        }
        // NOSIGNAL: a peer that died is an error here, not a SIGPIPE.
        retry(|| sendmsg(&self.fd, &[IoSlice::new(&packet)], &mut beside, SendFlags::NOSIGNAL))
            .with_context(|| format!("send a message of {} bytes", packet.len()))?;
        Ok(())
    }

    /// Receives one packet; `None` when the peer has closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut packet = vec![0; PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut packet)];
        let received = loop {
            match recvmsg(&self.fd, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                received => break received.context("receive a message")?,
            }
        };
        let fds = descriptors(&mut beside);
        if received.bytes == 0 {
            return Ok(None);
        }
        ensure!(!received.flags.contains(ReturnFlags::TRUNC), "message longer than {PACKET} bytes");
        Ok(Some((control::decode(&packet[..received.bytes])?, fds)))
    }

    /// Sends a command and waits for its reply; a failure inside becomes an error.
    pub(crate) fn ask(&self, command: Command, fds: &[BorrowedFd<'_>]) -> Result<Reply> {
        self.send(&Request::new(command), fds)?;
        self.reply()
    }

    /// The reply to the last command.
    pub(crate) fn reply(&self) -> Result<Reply> {
        match self.receive()? {
            Some((Reply::Failed(report), _)) => Err(report.into()),
            Some((reply, _)) => Ok(reply),
            None => bail!("the sandbox has ended"),
        }
    }

    /// Waits until something can be received; false when `patience` ran out.
    pub(crate) fn wait(&self, patience: Duration) -> Result<bool> {
        let timeout = Timespec::try_from(patience)?;
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        Ok(retry(|| poll(&mut fds, Some(&timeout)))? > 0)
    }

    /// The user at the other end, as this process's user namespace sees it.
    pub(crate) fn peer_uid(&self) -> Result<u32> {
        peer_uid(self.fd.as_fd())
    }
}

fn descriptors(beside: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    fds
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The control socket's address. It goes through the folder's descriptor, since a path may be longer than
/// the 108 bytes that an address holds.
fn address(folder: &Folder) -> Result<SocketAddrUnix> {
    let path = format!("/proc/self/fd/{}/{CONTROL_SOCKET}", folder.fd().as_raw_fd());
    Ok(SocketAddrUnix::new(path)?)
}

fn socket() -> Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Binds the control socket of a new container.
pub(crate) fn listener(folder: &Folder) -> Result<OwnedFd> {
    let fd = socket()?;
    bind(&fd, &address(folder)?).context("bind the control socket")?;
    listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// Connects to a container's sandbox.
pub(crate) fn open(folder: &Folder) -> Result<Channel> {
    let fd = socket()?;
    connect(&fd, &address(folder)?).context("connect to the sandbox")?;
    Ok(Channel { fd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Root;

    #[test]
    fn a_message_and_its_descriptors_arrive_together() {
        let (one, other) = Channel::pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        one.send(&Reply::Started { pid: 3 }, &[writer.as_fd()]).unwrap();
        drop(writer);
        let (reply, fds) = other.receive::<Reply>().unwrap().unwrap();
        assert_eq!(reply, Reply::Started { pid: 3 });
        rustix::io::write(&fds[0], b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
    }

    #[test]
    fn a_closed_peer_is_no_message() {
        let (one, other) = Channel::pair().unwrap();
        drop(other);
        assert!(one.receive::<Reply>().unwrap().is_none());
        assert!(one.send(&Reply::Done, &[]).is_err());
    }

    #[test]
    fn a_socket_in_a_folder_with_a_long_path_can_be_reached() {
        let parent = tempfile::tempdir().unwrap();
        let root = Root::open(&parent.path().join("x".repeat(200))).unwrap();
        let folder = root.create("c").unwrap();
        let listener = listener(&folder).unwrap();
        let client = open(&folder).unwrap();
        let server = Channel::from(rustix::net::accept(&listener).unwrap());
        assert_eq!(server.peer_uid().unwrap(), rustix::process::getuid().as_raw());
        server.send(&Reply::Done, &[]).unwrap();
        assert_eq!(client.reply().unwrap(), Reply::Done);
    }
}
