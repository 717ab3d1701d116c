//! Standing by a process inside until it ends: signals, terminal, exit status.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Result, bail};
use control::{Command, Reply, Request, Target, WindowSize};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::channel::Channel;
use crate::console::{self, RawTerminal};
use crate::sandbox::spawn::signal_fd;

/// Passed on to the process inside.
const FORWARDED: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// Size of `signalfd_siginfo` (signalfd(2)).
const RECORD: usize = 128;

/// `VEOF` of a terminal that nobody changed (termios(3)).
const END_OF_INPUT: u8 = 4;

/// How long the last output of a process on a terminal may take.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The signals of this process from now on, to be passed on. Made before the process inside is, so that none
/// is lost.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks them.
    pub(crate) fn block() -> Result<Self> {
        Ok(Self(signal_fd(&[&FORWARDED[..], &[libc::SIGWINCH]].concat())?))
    }

    fn next(&self) -> Option<i32> {
        let mut record = [0; RECORD];
        match rustix::io::read(&self.0, &mut record) {
            Ok(RECORD) => record.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)),
            _ => None,
        }
    }
}

/// One process inside, and our side of its terminal.
#[derive(Debug)]
pub(crate) struct Attachment {
    channel: Channel,
    pid: Option<i32>,
    signals: Signals,
    terminal: Option<Terminal>,
    /// A terminal of somebody else, whose size the process inside shall have.
    size_of: Option<OwnedFd>,
}

/// The user's terminal and the master that it is relayed with.
#[derive(Debug)]
struct Terminal {
    master: OwnedFd,
    /// Typed, not yet taken.
    typed: VecDeque<u8>,
    input_open: bool,
    output_open: bool,
    _raw: Option<RawTerminal>,
}

impl Attachment {
    /// To the process `pid` (`None` is the first one) at the other end of `channel`.
    pub(crate) fn new(channel: Channel, pid: Option<i32>, signals: Signals) -> Self {
        Self { channel, pid, signals, terminal: None, size_of: None }
    }

    /// Tells the process inside of new sizes of this terminal.
    pub(crate) fn with_size_of(mut self, terminal: Option<OwnedFd>) -> Self {
        self.size_of = terminal;
        self
    }

    /// Relays the user's terminal with this master.
    pub(crate) fn with_terminal(mut self, master: OwnedFd) -> Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let stdin = rustix::stdio::stdin();
        let raw = rustix::termios::isatty(stdin)
            .then(|| RawTerminal::new(rustix::io::dup(stdin)?))
            .transpose()?;
        self.terminal = Some(Terminal {
            master,
            typed: VecDeque::new(),
            input_open: true,
            output_open: true,
            _raw: raw,
        });
        Ok(self)
    }

    /// Waits for its end; returns its exit status.
    pub(crate) fn wait(mut self) -> Result<i32> {
        let status = self.attend();
        // What it wrote last is still to be shown, even if its sandbox has died.
        if let Some(terminal) = &mut self.terminal {
            terminal.drain()?;
        }
        status
    }

    fn attend(&mut self) -> Result<i32> {
        self.channel.send(&Request::new(Command::Wait { pid: self.pid }), &[])?;
        loop {
            let ready = self.poll()?;
            if ready.signal {
                self.pass_signals()?;
            }
            if let Some(terminal) = &mut self.terminal {
                terminal.relay(ready.input, ready.output, ready.room)?;
            }
            if ready.reply
                && let Some(status) = self.take_reply()?
            {
                return Ok(status);
            }
        }
    }

    fn poll(&self) -> Result<Ready> {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::new(&self.signals.0, PollFlags::IN),
        ];
        if let Some(terminal) = &self.terminal {
            fds.extend(terminal.interests(&stdin));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is = |index: usize, flags: PollFlags| {
            fds.get(index).is_some_and(|fd: &PollFd<'_>| fd.revents().intersects(flags))
        };
        let ended = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ok(Ready {
            reply: is(0, ended),
            signal: is(1, PollFlags::IN),
            output: is(2, ended),
            room: is(2, PollFlags::OUT),
            input: is(3, ended),
        })
    }

    /// The exit status, if that is what has come. Replies to passed-on signals come between.
    fn take_reply(&self) -> Result<Option<i32>> {
        match self.channel.receive()? {
            Some((Reply::Exited { status }, _)) => Ok(Some(status)),
            Some((Reply::Failed(report), _)) => {
                tracing::info!("{report}");
                Ok(None)
            }
            Some(_) => Ok(None),
            None => bail!("the sandbox has ended"),
        }
    }

    fn pass_signals(&self) -> Result<()> {
        while let Some(signal) = self.signals.next() {
            let command = match signal {
                libc::SIGWINCH => match self.resize()? {
                    Some(size) => Command::Resize { pid: self.pid, size },
                    None => continue,
                },
                _ => Command::Signal { target: self.pid.map_or(Target::Init, Target::Pid), signal },
            };
            self.channel.send(&Request::new(command), &[])?;
        }
        Ok(())
    }

    /// The new size of the terminal. The user's is given to the container's first.
    fn resize(&self) -> Result<Option<WindowSize>> {
        if let Some(terminal) = &self.size_of {
            return Ok(Some(console::size_of(terminal)));
        }
        let Some(terminal) = &self.terminal else { return Ok(None) };
        let size = console::size_of(rustix::stdio::stdin());
        console::set_size(&terminal.master, size)?;
        Ok(Some(size))
    }
}

struct Ready {
    reply: bool,
    signal: bool,
    output: bool,
    room: bool,
    input: bool,
}

impl Terminal {
    /// Master first, stdin second.
    fn interests<'a>(&'a self, stdin: &'a BorrowedFd<'a>) -> [PollFd<'a>; 2] {
        let mut master = PollFlags::empty();
        master.set(PollFlags::IN, self.output_open);
        master.set(PollFlags::OUT, !self.typed.is_empty());
        // No more is taken from the user than the process inside reads.
        let input = self.input_open && self.typed.is_empty();
        let input = if input { PollFlags::IN } else { PollFlags::empty() };
        [PollFd::new(&self.master, master), PollFd::new(stdin, input)]
    }

    fn relay(&mut self, input: bool, output: bool, room: bool) -> Result<()> {
        if output && self.output_open {
            self.output_open = self.pass_output()?;
        }
        if input && self.input_open && self.typed.is_empty() {
            let mut bytes = [0; 4096];
            match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
                Ok(0) | Err(Errno::IO) => {
                    self.input_open = false;
                    // Input from a file or pipe has an end, which a terminal spells so.
                    self.typed.push_back(END_OF_INPUT);
                }
                Ok(count) => self.typed.extend(&bytes[..count]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if room || input {
            self.pass_input()?;
        }
        Ok(())
    }

    fn pass_input(&mut self) -> Result<()> {
        let bytes = self.typed.make_contiguous();
        if bytes.is_empty() {
            return Ok(());
        }
        match rustix::io::write(&self.master, bytes) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.typed.clear(),
        }
        Ok(())
    }

    /// Copies what there is to stdout; false when there will be no more.
    fn pass_output(&self) -> Result<bool> {
        let mut bytes = [0; 16384];
        loop {
            match rustix::io::read(&self.master, &mut bytes) {
                // EIO: nobody has the slave open (tty_ioctl(4)).
                Ok(0) | Err(Errno::IO) => return Ok(false),
                Ok(count) => write_all(rustix::stdio::stdout(), &bytes[..count])?,
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Copies the rest until the Sentry has closed its side.
    fn drain(&mut self) -> Result<()> {
        let timeout = Timespec::try_from(LAST_OUTPUT)?;
        while self.output_open {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            if poll(&mut fds, Some(&timeout)) == Ok(0) {
                break;
            }
            self.output_open = self.pass_output()?;
        }
        Ok(())
    }
}

fn write_all(to: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
