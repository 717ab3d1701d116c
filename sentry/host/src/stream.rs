//! A Unix stream socket that also carries file descriptors: the way to a Gofer.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use abi::Errno;
use rustix::{
    fs,
    io::Errno as HostErrno,
    net::{
        self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    },
};

/// Most file descriptors in one message.
pub const MAX_FDS: usize = 8;

/// Bytes of a control message with that many.
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));

/// A connected Unix stream socket that never waits.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

impl Stream {
    /// Takes charge of a connected socket and makes it non-blocking (fcntl).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let flags = fs::fcntl_getfl(&fd).map_err(errno)?;
        fs::fcntl_setfl(&fd, flags | fs::OFlags::NONBLOCK).map_err(errno)?;
        Ok(Self { fd })
    }

    /// Sends bytes, and with the first of them up to [`MAX_FDS`] file descriptors (sendmsg);
    /// returns how many bytes went out. The file descriptors have gone if any byte has.
    ///
    /// # Errors
    ///
    /// EAGAIN if the socket is full, EPIPE if the other side is gone, EINVAL for too many file
    /// descriptors, or what else the host says.
    pub fn send(&self, bytes: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            let message = SendAncillaryMessage::ScmRights(fds);
            if fds.len() > MAX_FDS || !control.push(message) {
                return Err(Errno::EINVAL);
            }
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        retry(|| net::sendmsg(&self.fd, bytes, &mut control, flags))
    }

    /// Receives bytes, and appends the file descriptors that came with them to `fds` (recvmsg);
    /// 0 bytes: the other side has closed.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is nothing, EMSGSIZE if more than [`MAX_FDS`] file descriptors came (the
    /// bytes are lost then: give the connection up), or what else the host says.
    pub fn receive(&self, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message =
            retry(|| net::recvmsg(&self.fd, &mut [IoSliceMut::new(buf)], &mut control, flags))?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                fds.extend(received);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Errno::EMSGSIZE);
        }
        Ok(message.bytes)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn errno(error: HostErrno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Calls again as long as a signal of the host comes between.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(HostErrno::INTR) => {}
            result => return result.map_err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Stream, Stream) {
        let flags = net::SocketFlags::CLOEXEC;
        let (a, b) =
            net::socketpair(net::AddressFamily::UNIX, net::SocketType::STREAM, flags, None)
                .unwrap();
        (Stream::new(a).unwrap(), Stream::new(b).unwrap())
    }

    #[test]
    fn bytes_and_descriptors_arrive_together() {
        let (a, b) = pair();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
        assert_eq!(a.send(&parts, &[reader.as_fd()]), Ok(5));
        let (mut buf, mut fds) = ([0; 16], Vec::new());
        assert_eq!(b.receive(&mut buf, &mut fds), Ok(5));
        assert_eq!(&buf[..5], b"hello");
        rustix::io::write(&writer, b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&fds[0], &mut byte), Ok(1));
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn an_empty_socket_says_eagain_and_a_closed_one_0() {
        let (a, b) = pair();
        let (mut buf, mut fds) = ([0; 4], Vec::new());
        assert_eq!(b.receive(&mut buf, &mut fds), Err(Errno::EAGAIN));
        drop(a);
        assert_eq!(b.receive(&mut buf, &mut fds), Ok(0));
        assert_eq!(b.send(&[IoSlice::new(b"x")], &[]), Err(Errno::EPIPE));
    }

    #[test]
    fn a_full_socket_says_eagain() {
        let (a, _b) = pair();
        let block = [0; 65536];
        let full = (0..1000).find_map(|_| a.send(&[IoSlice::new(&block)], &[]).err());
        assert_eq!(full, Some(Errno::EAGAIN));
    }

    #[test]
    fn too_many_descriptors_are_refused_on_both_sides() {
        let (a, b) = pair();
        let many: Vec<_> = (0..=MAX_FDS).map(|_| a.as_fd()).collect();
        assert_eq!(a.send(&[IoSlice::new(b"x")], &many), Err(Errno::EINVAL));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS + 4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let more: Vec<_> = (0..MAX_FDS + 4).map(|_| a.as_fd()).collect();
        assert!(control.push(SendAncillaryMessage::ScmRights(&more)));
        net::sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        let (mut buf, mut fds) = ([0; 4], Vec::new());
        assert_eq!(b.receive(&mut buf, &mut fds), Err(Errno::EMSGSIZE));
    }
}
