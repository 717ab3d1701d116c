//! Terminals on the host's side: the pty of a container, and the user's own terminal while it is attached.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use control::WindowSize;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Both ends of a host pty. The Sentry relays between the slave and the terminal inside, so the host's line
/// discipline stays out of it: raw.
#[derive(Debug)]
pub(crate) struct Pty {
    /// For the user's side.
    pub(crate) master: OwnedFd,
    /// For the Sentry.
    pub(crate) slave: OwnedFd,
    name: String,
}

impl Pty {
    /// A new pty of this size.
    pub(crate) fn open(size: WindowSize) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context("open a pseudo terminal")?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.to_string_lossy().into_owned();
        // By descriptor: the name may mean another file in this mount namespace.
        let slave =
            ioctl_tiocgptpeer(&master, flags).context("open the pseudo terminal's slave")?;
        make_raw(&slave)?;
        set_size(&master, size)?;
        Ok(Self { master, slave, name })
    }

    /// Sends the master to whoever listens at the console socket, with the name as the payload.
    pub(crate) fn send_master(&self, socket: &Path) -> Result<()> {
        let said = || format!("send the terminal to --console-socket {}", socket.display());
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Through a descriptor, since a path may be longer than an address allows.
        let file = openat(CWD, socket, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .with_context(said)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        connect(&fd, &SocketAddrUnix::new(path)?).with_context(said)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let fds = [self.master.as_fd()];
        beside.push(SendAncillaryMessage::ScmRights(&fds));
        let payload = [IoSlice::new(self.name.as_bytes())];
        sendmsg(&fd, &payload, &mut beside, SendFlags::NOSIGNAL).with_context(said)?;
        Ok(())
    }
}

/// The pty of a process that somebody else attends to: a process with a terminal needs a console socket to
/// send its master to, and one without has no use for it.
pub(crate) fn for_engine(size: Option<WindowSize>, socket: Option<&Path>) -> Result<Option<Pty>> {
    match (size, socket) {
        (None, None) => Ok(None),
        (Some(size), Some(socket)) => {
            let pty = Pty::open(size)?;
            pty.send_master(socket)?;
            Ok(Some(pty))
        }
        (Some(_), None) => bail!("process.terminal is true: expected --console-socket"),
        (None, Some(_)) => bail!("--console-socket: process.terminal is not true"),
    }
}

/// The size of a terminal; zero when it is none.
pub(crate) fn size_of(terminal: impl AsFd) -> WindowSize {
    tcgetwinsize(terminal).map_or_else(
        |_| WindowSize::default(),
        |size| WindowSize { rows: size.ws_row, columns: size.ws_col },
    )
}

/// Sets the size of a terminal; its processes hear of it.
pub(crate) fn set_size(terminal: impl AsFd, size: WindowSize) -> Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).context("set the terminal's size")
}

fn make_raw(terminal: impl AsFd) -> Result<Termios> {
    let before = tcgetattr(&terminal).context("read the terminal's settings")?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &raw).context("make the terminal raw")?;
    Ok(before)
}

/// The user's terminal in raw mode; as before when dropped.
#[derive(Debug)]
pub(crate) struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// Makes it raw.
    pub(crate) fn new(terminal: OwnedFd) -> Result<Self> {
        let before = make_raw(&terminal)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, accept, bind, listen, recvmsg,
    };

    use super::*;

    #[test]
    fn the_master_arrives_with_its_name_as_the_payload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.sock");
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        let pty = Pty::open(WindowSize { rows: 10, columns: 20 }).unwrap();
        pty.send_master(&path).unwrap();
        let connection = accept(&listener).unwrap();
        let mut payload = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut payload)];
        let received = recvmsg(&connection, &mut parts, &mut beside, RecvFlags::empty()).unwrap();
        assert_eq!(&payload[..received.bytes], pty.name.as_bytes());
        let Some(RecvAncillaryMessage::ScmRights(mut fds)) = beside.drain().next() else {
            unreachable!("no descriptor");
        };
        assert_eq!(size_of(fds.next().unwrap()), WindowSize { rows: 10, columns: 20 });
    }

    #[test]
    fn bytes_pass_a_container_pty_unchanged() {
        let pty = Pty::open(WindowSize::default()).unwrap();
        rustix::io::write(&pty.master, b"\x03a\r\n").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&pty.slave, &mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"\x03a\r\n");
    }
}
