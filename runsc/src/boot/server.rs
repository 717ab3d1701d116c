//! The control server: one thread, never waiting for a client or a process.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use control::{Command, Reply, Report, Request, RunState, Target, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use sentry::Stdio;

use super::connection::Connection;
use super::kernel::Kernel;
use super::signals::{Signals, Wish};

/// Connections at a time; more wait in the socket's backlog.
const MOST_CONNECTIONS: usize = 256;

/// What a killed process exits with, when nobody can say more.
const KILLED: i32 = 128 + libc::SIGKILL;

/// How long the end of the last tasks may take before what they hold counts as a leak.
const LAST_TASKS_MS: usize = 1000;

/// Descriptors that are watched before the connections, by their place in the list.
const LISTENER: usize = 0;
const SIGNALS: usize = 1;
const GOFER: usize = 2;
const EXITS: usize = 3;
const FIRST_CONNECTION: usize = 4;

/// Serves one container until its first process ends.
#[derive(Debug)]
pub(super) struct Server<K> {
    kernel: K,
    listener: OwnedFd,
    gofer: OwnedFd,
    signals: Signals,
    connections: Vec<Connection>,
    state: RunState,
    /// The user that this process runs as.
    owner: u32,
    /// Host processes that stand for processes inside.
    stands_for: BTreeMap<i32, i32>,
}

impl<K: Kernel> Server<K> {
    pub(super) fn new(
        kernel: K,
        listener: OwnedFd,
        gofer: OwnedFd,
        signals: Signals,
    ) -> Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        Ok(Self {
            kernel,
            listener,
            gofer,
            signals,
            connections: Vec::new(),
            state: RunState::Created,
            owner: rustix::process::geteuid().as_raw(),
            stands_for: BTreeMap::new(),
        })
    }

    /// Serves; returns the exit status of the first process.
    pub(super) fn run(&mut self) -> Result<i32> {
        loop {
            let ready = self.wait(None)?;
            if ready[GOFER] {
                bail!("the Gofer has died");
            }
            if ready[SIGNALS] {
                self.take_signals();
            }
            self.serve(&ready[FIRST_CONNECTION..]);
            if ready[LISTENER] {
                self.accept();
            }
            if ready[EXITS] {
                // Emptied before the statuses are read, so that none is missed.
                let _ = rustix::io::read(self.kernel.exits(), &mut [0; 8]);
            }
            self.answer_waits();
            if let Some(status) = self.kernel.exit_status(None) {
                self.state = RunState::Stopped;
                self.last_round()?;
                if tracing::enabled!(tracing::Level::DEBUG) {
                    self.tell_leaks()?;
                }
                return Ok(status);
            }
        }
    }

    /// Serves those who asked in time but were not heard yet: they may be told the exit status.
    fn last_round(&mut self) -> Result<()> {
        while self.accept() {}
        let ready = self.wait(Some(&Timespec::default()))?;
        self.serve(&ready[FIRST_CONNECTION..]);
        self.answer_waits();
        Ok(())
    }

    /// Tells what a container that has ended left behind, once its last tasks are gone.
    fn tell_leaks(&self) -> Result<()> {
        let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        for _ in 0..LAST_TASKS_MS {
            if self.kernel.leaks().is_empty() {
                tracing::debug!("live objects: none");
                return Ok(());
            }
            poll(&mut [], Some(&pause))?;
        }
        let leaks = self.kernel.leaks();
        let leaks: Vec<String> =
            leaks.iter().map(|(name, count)| format!("{count} {name}")).collect();
        tracing::warn!("live objects: {}", leaks.join(", "));
        Ok(())
    }

    /// Waits until something happens or the time is up; tells for each descriptor whether it did there.
    fn wait(&self, timeout: Option<&Timespec>) -> Result<Vec<bool>> {
        let exits = self.kernel.exits();
        let accepts = self.connections.len() < MOST_CONNECTIONS;
        let listen = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(&self.listener, listen),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.gofer, PollFlags::IN),
            PollFd::from_borrowed_fd(exits, PollFlags::IN),
        ];
        fds.extend(self.connections.iter().map(|c| PollFd::new(c.channel(), PollFlags::IN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect())
    }

    /// Takes a new connection; false when there is none.
    fn accept(&mut self) -> bool {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match accept_with(&self.listener, flags) {
            Ok(fd) => {
                self.connections.extend(Connection::accept(fd, self.owner));
                true
            }
            Err(_) => false,
        }
    }

    fn take_signals(&mut self) {
        while let Some(wish) = self.signals.next() {
            match wish {
                Wish::Dump => tracing::error!("all tasks:\n{}", self.kernel.dump()),
                Wish::Resize => drop(self.kernel.resize(None, None)),
                Wish::Forward(signal) => drop(self.kernel.signal(Target::Init, signal)),
            }
        }
    }

    /// Serves the connections that have something to say, or have ended.
    fn serve(&mut self, ready: &[bool]) {
        let connections = std::mem::take(&mut self.connections);
        for (index, mut connection) in connections.into_iter().enumerate() {
            let ready = ready.get(index).copied().unwrap_or(false);
            if !ready || self.serve_one(&mut connection) {
                self.connections.push(connection);
            } else {
                for pid in connection.owned() {
                    let _ = self.kernel.signal(Target::Pid(*pid), libc::SIGKILL);
                }
            }
        }
    }

    /// Serves one request; false when the connection has ended.
    fn serve_one(&mut self, connection: &mut Connection) -> bool {
        let (request, fds) = match connection.channel().receive::<Request>() {
            Ok(Some(received)) => received,
            Ok(None) => return false,
            Err(error) => {
                let report = Report::new("control request", format!("{error:#}"));
                return connection.reply(&Reply::Failed(report));
            }
        };
        match self.obey(request, fds, connection) {
            Ok(Some(reply)) => connection.reply(&reply),
            Ok(None) => true,
            Err(report) => connection.reply(&Reply::Failed(report)),
        }
    }

    /// Does what is asked. `None`: the reply comes later.
    fn obey(
        &mut self,
        request: Request,
        fds: Vec<OwnedFd>,
        connection: &mut Connection,
    ) -> Result<Option<Reply>, Report> {
        if request.version != VERSION {
            let message = format!("expected version {VERSION}, found {}", request.version);
            return Err(Report::new("control request", message));
        }
        match request.command {
            Command::Wait { pid } => {
                connection.wait_for(pid);
                return Ok(None);
            }
            Command::Exec { process, host_pid, owned } => {
                let pid = self.kernel.exec(process.clone(), stdio(&process, fds)?)?;
                if owned {
                    connection.own(pid);
                }
                self.stands_for.extend(host_pid.map(|host| (pid, host)));
                return Ok(Some(Reply::Started { pid }));
            }
            Command::Save => self.save(fds)?,
            ref command => return self.obey_simple(command).map(Some),
        }
        Ok(Some(Reply::Done))
    }

    fn obey_simple(&mut self, command: &Command) -> Result<Reply, Report> {
        match *command {
            Command::Start => self.start()?,
            Command::Status => return Ok(Reply::Status(self.state)),
            Command::Signal { target, signal } => self.kernel.signal(target, signal)?,
            Command::Processes => return Ok(Reply::Processes(self.processes())),
            Command::Resize { pid, size } => self.kernel.resize(pid, Some(size))?,
            Command::Pause => {
                self.kernel.pause()?;
                self.state = RunState::Paused;
            }
            Command::Resume => {
                self.kernel.resume()?;
                self.state = RunState::Running;
            }
            Command::Dump => return Ok(Reply::Text(self.kernel.dump())),
            Command::Wait { .. } | Command::Exec { .. } | Command::Save => {}
        }
        Ok(Reply::Done)
    }

    fn start(&mut self) -> Result<(), Report> {
        if self.state != RunState::Created {
            return Err(Report::new("start", "cannot start an already running container"));
        }
        self.kernel.start()?;
        self.state = RunState::Running;
        Ok(())
    }

    fn save(&self, fds: Vec<OwnedFd>) -> Result<(), Report> {
        let [state, pages] = <[OwnedFd; 2]>::try_from(fds)
            .map_err(|fds| Report::new("save", format!("expected 2 files, found {}", fds.len())))?;
        self.kernel.save(state, pages)
    }

    fn processes(&self) -> Vec<control::ProcessEntry> {
        let mut processes = self.kernel.processes();
        for process in &mut processes {
            process.host_pid = self.stands_for.get(&process.pid).copied();
        }
        processes
    }

    /// Answers those whose process has ended. With the first process all others end.
    fn answer_waits(&mut self) {
        let ended = self.kernel.exit_status(None);
        let kernel = &self.kernel;
        self.connections.retain_mut(|connection| {
            let Some(pid) = connection.waits_for() else { return true };
            let last = ended.map(|status| if pid.is_none() { status } else { KILLED });
            let Some(status) = kernel.exit_status(pid).or(last) else { return true };
            connection.answered();
            connection.reply(&Reply::Exited { status })
        });
        self.stands_for.retain(|pid, _| kernel.exit_status(Some(*pid)).is_none());
    }
}

fn stdio(process: &control::Process, fds: Vec<OwnedFd>) -> Result<Stdio, Report> {
    let expected = if process.terminal.is_some() { 1 } else { 3 };
    let found = fds.len();
    let wrong = || Report::new("exec", format!("expected {expected} descriptors, found {found}"));
    let mut fds = fds.into_iter();
    match (expected, fds.next(), fds.next(), fds.next(), fds.next()) {
        (1, Some(slave), None, None, None) => Ok(Stdio::Terminal(slave)),
        (3, Some(input), Some(output), Some(error), None) => Ok(Stdio::Fds([input, output, error])),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread::{JoinHandle, spawn};

    use control::Process;
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket_with,
    };

    use super::super::{signals, standin::Standin};
    use super::*;
    use crate::channel::Channel;

    /// A server on its own thread, and how to reach it.
    struct Served {
        thread: JoinHandle<Result<i32>>,
        address: SocketAddrUnix,
        gofer: OwnedFd,
    }

    fn process(args: &[&str]) -> Process {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Process { args, ..Process::default() }
    }

    fn socket() -> OwnedFd {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    impl Served {
        fn new(name: &str, args: &[&str]) -> Self {
            let id = std::process::id();
            let address =
                SocketAddrUnix::new_abstract_name(format!("{name}-{id}").as_bytes()).unwrap();
            let listener = socket();
            bind(&listener, &address).unwrap();
            listen(&listener, 8).unwrap();
            // Stands for the Gofer's pidfd: readable once it is written to.
            let gofer = eventfd(0, EventfdFlags::empty()).unwrap();
            let held = gofer.try_clone().unwrap();
            let kernel = Standin::new(process(args)).unwrap();
            let thread =
                spawn(move || Server::new(kernel, listener, held, signals::block()?)?.run());
            Self { thread, address, gofer }
        }

        fn connect(&self) -> Channel {
            let fd = socket();
            connect(&fd, &self.address).unwrap();
            Channel::from(fd)
        }

        fn end(self) -> Result<i32> {
            self.thread.join().unwrap()
        }
    }

    fn null() -> std::fs::File {
        std::fs::File::open("/dev/null").unwrap()
    }

    #[test]
    fn a_container_ends_with_the_status_of_its_first_process() {
        let served = Served::new("status", &["exit", "7"]);
        let client = served.connect();
        assert_eq!(client.ask(Command::Status, &[]).unwrap(), Reply::Status(RunState::Created));
        let waiter = served.connect();
        waiter.send(&Request::new(Command::Wait { pid: None }), &[]).unwrap();
        assert_eq!(client.ask(Command::Start, &[]).unwrap(), Reply::Done);
        assert_eq!(waiter.reply().unwrap(), Reply::Exited { status: 7 });
        assert_eq!(served.end().unwrap(), 7);
    }

    #[test]
    fn a_second_start_and_another_version_are_refused() {
        let served = Served::new("twice", &["sleep"]);
        let client = served.connect();
        client.ask(Command::Start, &[]).unwrap();
        assert!(client.ask(Command::Start, &[]).is_err());
        client.send(&Request { version: 0, command: Command::Status }, &[]).unwrap();
        assert!(client.reply().unwrap_err().to_string().contains("expected version"));
        client.ask(Command::Signal { target: Target::Init, signal: 9 }, &[]).unwrap();
        assert_eq!(served.end().unwrap(), 137);
    }

    #[test]
    fn a_process_dies_with_the_connection_that_owns_it() {
        let served = Served::new("owned", &["sleep"]);
        let (owner, other) = (served.connect(), served.connect());
        other.ask(Command::Start, &[]).unwrap();
        let null = null();
        let exec = Command::Exec { process: process(&["x"]), host_pid: Some(5), owned: true };
        let reply = owner.ask(exec, &[null.as_fd(), null.as_fd(), null.as_fd()]).unwrap();
        let Reply::Started { pid } = reply else { unreachable!("{reply:?}") };
        drop(owner);
        let status = other.ask(Command::Wait { pid: Some(pid) }, &[]).unwrap();
        assert_eq!(status, Reply::Exited { status: 137 });
        other.ask(Command::Signal { target: Target::All, signal: 15 }, &[]).unwrap();
        assert_eq!(served.end().unwrap(), 143);
    }

    #[test]
    fn an_exec_without_its_descriptors_is_refused() {
        let served = Served::new("stdio", &["sleep"]);
        let client = served.connect();
        let exec = Command::Exec { process: process(&["x"]), host_pid: None, owned: false };
        assert!(client.ask(exec, &[]).unwrap_err().to_string().contains("expected 3 descriptors"));
        client.ask(Command::Signal { target: Target::Init, signal: 9 }, &[]).unwrap();
        served.end().unwrap();
    }

    #[test]
    fn the_end_of_the_gofer_ends_the_sandbox() {
        let served = Served::new("gofer", &["sleep"]);
        rustix::io::write(&served.gofer, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(served.end().unwrap_err().to_string(), "the Gofer has died");
    }
}
