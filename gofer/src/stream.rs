//! Frames over a stream socket, with descriptors.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use p9::{CodecError, frame_size};
use rustix::io::{Errno, read};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The socket failed.
    #[error("socket failed")]
    Socket(#[from] Errno),
    /// What comes in is no sequence of frames.
    #[error("framing lost")]
    Framing(#[from] CodecError),
}

/// Room for input at first; it grows to what frames need, at most the message size.
const FIRST_ROOM: usize = 8192;

/// A connected socket and what was read ahead from it.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Stream {
    /// Takes over a socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; FIRST_ROOM], start: 0, end: 0 }
    }

    /// The next frame, or `None` if the other end closed the connection between two.
    pub(crate) fn next(&mut self, msize: u32) -> Result<Option<&[u8]>, StreamError> {
        let (start, end) = loop {
            let ahead = self.buffer.get(self.start..self.end).unwrap_or_default();
            let size = frame_size(ahead, msize)?;
            if let Some(size) = size.filter(|size| *size <= ahead.len()) {
                let start = self.start;
                self.start += size;
                break (start, self.start);
            }
            self.make_room(size.unwrap_or(p9::HEADER));
            if self.fill()? == 0 {
                let whole = self.start == self.end;
                return if whole { Ok(None) } else { Err(CodecError::Truncated.into()) };
            }
        };
        Ok(self.buffer.get(start..end))
    }

    /// Moves what is left to the front and makes the buffer hold at least `size` bytes.
    fn make_room(&mut self, size: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }

    fn fill(&mut self) -> Result<usize, Errno> {
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = retry(|| read(&self.socket, &mut *free))?;
        self.end += count;
        Ok(count)
    }

    /// Sends a frame; a descriptor goes with its first byte.
    pub(crate) fn send(&self, mut frame: &[u8], fd: Option<&OwnedFd>) -> Result<(), Errno> {
        let fds = fd.map(AsFd::as_fd);
        let mut fds = fds.as_slice();
        while !frame.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(Errno::NOBUFS);
            }
            let iov = [IoSlice::new(frame)];
            let sent = retry(|| sendmsg(&self.socket, &iov, &mut control, SendFlags::NOSIGNAL))?;
            frame = frame.get(sent..).unwrap_or_default();
            fds = &[];
        }
        Ok(())
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p9::{TMessage, Tclunk, Twrite};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn frame(message: impl Into<TMessage>) -> Vec<u8> {
        let mut out = Vec::new();
        message.into().encode(1, &mut out).unwrap();
        out
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut_on_the_way() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let large = Twrite { fid: 1, offset: 0, data: p9::Data(vec![7; 50_000]) };
        let frames = [frame(Tclunk { fid: 1 }), frame(large), frame(Tclunk { fid: 2 })];
        let all = frames.concat();
        let writer = std::thread::spawn(move || {
            for piece in all.chunks(3333) {
                client.write_all(piece).unwrap();
            }
        });
        let mut stream = Stream::new(server.into());
        for frame in &frames {
            assert_eq!(stream.next(65_536).unwrap(), Some(&frame[..]));
        }
        assert_eq!(stream.next(65_536).unwrap(), None);
        writer.join().unwrap();
    }

    #[test]
    fn a_frame_too_large_or_cut_off_ends_the_stream() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(&[0, 0x20, 0, 0, 1]).unwrap();
        drop(client);
        let mut stream = Stream::new(server.into());
        assert!(matches!(stream.next(4096), Err(StreamError::Framing(CodecError::BadSize))));
        assert!(matches!(stream.next(8192), Err(StreamError::Framing(CodecError::Truncated))));
    }
}
