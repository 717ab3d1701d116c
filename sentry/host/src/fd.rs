//! Donated pipes, sockets and terminals: the standard streams of a container.

use std::{
    ffi::c_void,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use abi::Errno;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{self, FileType},
    io,
    time::Timespec,
};

use crate::Readiness;

/// Bytes of the kernel's `struct termios` (`ioctl_tty(2)`), as TCGETS fills it.
pub const TERMIOS_BYTES: usize = 36;

/// Most bytes that a write to a file description shared with others hands over at once: a pipe
/// that polls as writable has room for `PIPE_BUF` bytes (pipe(7)).
const SHARED_WRITE_BYTES: usize = 4096;

/// Whose open file description it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Ours alone: it is made non-blocking.
    Own,
    /// Shared with programs outside (the terminal of somebody's shell): its flags stay, and each
    /// call asks poll(2) first. It can wait only if another program takes what poll promised.
    Shared,
}

/// When new terminal attributes count (tcsetattr(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermiosWhen {
    /// At once.
    Now,
    /// After the output so far.
    Drain,
    /// After the output so far; input not read yet is thrown away.
    Flush,
}

/// A donated file descriptor that is read and written in order.
#[derive(Debug)]
pub struct HostFd {
    fd: OwnedFd,
    sharing: Sharing,
    kind: FileType,
}

impl HostFd {
    /// Takes charge of `fd` (fstat; fcntl if it is our own).
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new(fd: OwnedFd, sharing: Sharing) -> Result<Self, Errno> {
        let stat = fs::fstat(&fd).map_err(errno)?;
        if sharing == Sharing::Own {
            let flags = fs::fcntl_getfl(&fd).map_err(errno)?;
            fs::fcntl_setfl(&fd, flags | fs::OFlags::NONBLOCK).map_err(errno)?;
        }
        Ok(Self { fd, sharing, kind: FileType::from_raw_mode(stat.st_mode) })
    }

    /// The type bits of its mode, as in `st_mode` (`S_IFIFO`, `S_IFCHR`, …).
    #[must_use]
    pub fn type_bits(&self) -> u32 {
        self.kind.as_raw_mode()
    }

    /// True if it is always ready, so that it can't be watched.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// True if it is a terminal (TCGETS).
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.termios().is_ok()
    }

    /// Reads (read); 0 at the end. May wait for the disk if it is a regular file.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is nothing now, or what else the host says.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.must_ask() && !self.ready(PollFlags::IN) {
            return Err(Errno::EAGAIN);
        }
        io::retry_on_intr(|| io::read(&self.fd, &mut *buf)).map_err(errno)
    }

    /// Writes (write); possibly less than all. May wait for the disk if it is a regular file.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is no room now, EPIPE if nobody reads (the host's SIGPIPE must be ignored,
    /// as Rust's runtime does), or what else the host says.
    pub fn write(&self, buf: &[u8]) -> Result<usize, Errno> {
        let mut part = buf;
        if self.must_ask() {
            if !self.ready(PollFlags::OUT) {
                return Err(Errno::EAGAIN);
            }
            part = buf.get(..SHARED_WRITE_BYTES).unwrap_or(buf);
        }
        io::retry_on_intr(|| io::write(&self.fd, part)).map_err(errno)
    }

    /// Its state now (poll).
    #[must_use]
    pub fn poll(&self) -> Readiness {
        let flags =
            self.poll_flags(PollFlags::IN | PollFlags::OUT | PollFlags::PRI | PollFlags::RDHUP);
        Readiness {
            readable: flags.contains(PollFlags::IN),
            writable: flags.contains(PollFlags::OUT),
            urgent: flags.contains(PollFlags::PRI),
            read_closed: flags.contains(PollFlags::RDHUP),
            closed: flags.contains(PollFlags::HUP),
            error: flags.contains(PollFlags::ERR),
        }
    }

    /// Rows, columns and the size in pixels of a terminal (TIOCGWINSZ).
    ///
    /// # Errors
    ///
    /// ENOTTY if it is none.
    pub fn window_size(&self) -> Result<[u16; 4], Errno> {
        let mut size = [0_u16; 4];
        // SAFETY: TIOCGWINSZ writes a `struct winsize`, which is four 16-bit numbers
        // (ioctl_tty(2)).
        unsafe { ioctl(self.fd.as_fd(), libc::TIOCGWINSZ, size.as_mut_ptr().cast()) }?;
        Ok(size)
    }

    /// Sets what `window_size` returns (TIOCSWINSZ).
    ///
    /// # Errors
    ///
    /// ENOTTY if it is no terminal.
    pub fn set_window_size(&self, mut size: [u16; 4]) -> Result<(), Errno> {
        // SAFETY: TIOCSWINSZ reads a `struct winsize`, as above.
        unsafe { ioctl(self.fd.as_fd(), libc::TIOCSWINSZ, size.as_mut_ptr().cast()) }
    }

    /// The attributes of a terminal, as the kernel's `struct termios` (TCGETS).
    ///
    /// # Errors
    ///
    /// ENOTTY if it is none.
    pub fn termios(&self) -> Result<[u8; TERMIOS_BYTES], Errno> {
        // Some spare, should a host's structure be longer.
        let mut bytes = [0_u8; 64];
        // SAFETY: TCGETS writes a `struct termios` of the kernel: 36 bytes (ioctl_tty(2),
        // asm-generic/termbits.h).
        unsafe { ioctl(self.fd.as_fd(), libc::TCGETS, bytes.as_mut_ptr().cast()) }?;
        let mut termios = [0; TERMIOS_BYTES];
        termios.copy_from_slice(&bytes[..TERMIOS_BYTES]);
        Ok(termios)
    }

    /// Sets the attributes of a terminal (TCSETS, TCSETSW, TCSETSF); waits for the output with
    /// all but `Now`.
    ///
    /// # Errors
    ///
    /// ENOTTY if it is none.
    pub fn set_termios(
        &self,
        when: TermiosWhen,
        mut termios: [u8; TERMIOS_BYTES],
    ) -> Result<(), Errno> {
        let request = match when {
            TermiosWhen::Now => libc::TCSETS,
            TermiosWhen::Drain => libc::TCSETSW,
            TermiosWhen::Flush => libc::TCSETSF,
        };
        // SAFETY: these read a `struct termios` of the kernel, as above.
        unsafe { ioctl(self.fd.as_fd(), request, termios.as_mut_ptr().cast()) }
    }

    fn must_ask(&self) -> bool {
        self.sharing == Sharing::Shared && !self.is_regular()
    }

    /// True if `wanted` is there, or an end or error that the call itself will tell.
    fn ready(&self, wanted: PollFlags) -> bool {
        !self.poll_flags(wanted).is_empty()
    }

    fn poll_flags(&self, wanted: PollFlags) -> PollFlags {
        let mut fds = [PollFd::new(&self.fd, wanted)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match io::retry_on_intr(|| poll(&mut fds, Some(&now))) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::ERR,
        }
    }
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Calls ioctl(2).
///
/// # Safety
///
/// `argument` must point to what `request` reads or writes.
unsafe fn ioctl(
    fd: BorrowedFd<'_>,
    request: libc::Ioctl,
    argument: *mut c_void,
) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    if unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn errno(error: io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(sharing: Sharing) -> (HostFd, HostFd) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        (HostFd::new(reader, sharing).unwrap(), HostFd::new(writer, sharing).unwrap())
    }

    #[test]
    fn an_empty_pipe_says_eagain_and_a_closed_one_ends() {
        for sharing in [Sharing::Own, Sharing::Shared] {
            let (reader, writer) = pipe(sharing);
            let mut buf = [0; 8];
            assert_eq!(reader.read(&mut buf), Err(Errno::EAGAIN));
            assert!(!reader.poll().readable);
            assert_eq!(writer.write(b"abc"), Ok(3));
            assert!(reader.poll().readable);
            assert_eq!(reader.read(&mut buf), Ok(3));
            drop(writer);
            assert_eq!(reader.read(&mut buf), Ok(0));
        }
    }

    #[test]
    fn a_full_pipe_says_eagain_and_one_without_reader_epipe() {
        for sharing in [Sharing::Own, Sharing::Shared] {
            let (reader, writer) = pipe(sharing);
            let full = (0..100_000).find_map(|_| writer.write(&[0; 5000]).err());
            assert_eq!(full, Some(Errno::EAGAIN));
            drop(reader);
            assert_eq!(writer.write(b"x"), Err(Errno::EPIPE));
        }
    }

    #[test]
    fn a_shared_description_keeps_its_flags() {
        let (reader, _writer) = pipe(Sharing::Shared);
        assert!(!fs::fcntl_getfl(&reader).unwrap().contains(fs::OFlags::NONBLOCK));
    }

    #[test]
    fn a_terminal_has_a_size_and_attributes_and_a_pipe_has_not() {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).unwrap();
        let terminal = HostFd::new(master, Sharing::Own).unwrap();
        assert!(terminal.is_terminal());
        terminal.set_window_size([24, 80, 0, 0]).unwrap();
        assert_eq!(terminal.window_size(), Ok([24, 80, 0, 0]));
        let mut termios = terminal.termios().unwrap();
        // c_lflag is the fourth 32-bit number; ECHO is 0o10.
        termios[12] ^= 0o10;
        terminal.set_termios(TermiosWhen::Now, termios).unwrap();
        assert_eq!(terminal.termios(), Ok(termios));
        let (reader, _writer) = pipe(Sharing::Own);
        assert_eq!(reader.window_size(), Err(Errno::ENOTTY));
        assert!(!reader.is_terminal());
    }
}
