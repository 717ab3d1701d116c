//! A console: its master comes over `--console-socket`; signals, size and job control work inside.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::{Bundle, Container, Kind, Rootfs, Runtime, for_each_runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};

for_each_runtime! {
    a_console_is_a_terminal_that_echoes_and_edits
    the_interrupt_key_reaches_the_foreground_job
    the_window_size_is_seen_inside
}

const DEADLINE: Duration = Duration::from_secs(30);

/// The near end of a container's console.
struct Console {
    master: std::fs::File,
    seen: String,
}

impl Console {
    /// Takes the master that the runtime sends to `listener`.
    fn accept(listener: &UnixListener) -> Result<Self> {
        let (socket, _) = listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 64];
        let mut data = [std::io::IoSliceMut::new(&mut name)];
        recvmsg(&socket, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let fds = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let master: OwnedFd = fds.flatten().next().context("no descriptor came")?;
        Ok(Self { master: master.into(), seen: String::new() })
    }

    fn types(&mut self, text: &str) -> Result<()> {
        Ok(self.master.write_all(text.as_bytes())?)
    }

    /// Reads until `wanted` has come, and forgets all up to it.
    fn expect(&mut self, wanted: &str) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.find(wanted) {
                self.seen.drain(..at + wanted.len());
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec::try_from(left)?))? == 0 {
                bail!("no {wanted:?} came: {:?}", self.seen);
            }
            let mut bytes = [0; 4096];
            match self.master.read(&mut bytes) {
                Ok(0) | Err(_) => bail!("the console ended before {wanted:?}: {:?}", self.seen),
                Ok(len) => self.seen.push_str(&String::from_utf8_lossy(&bytes[..len])),
            }
        }
    }
}

fn with_console(
    runtime: &Runtime,
    script: &str,
    act: impl FnOnce(&mut Console) -> Result<()>,
) -> Result<()> {
    let folder = harness::scratch()?;
    let path = folder.path().join("console");
    let listener = UnixListener::bind(&path)?;
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", script])?
        .edit(|config| config["process"]["terminal"] = true.into())?;
    let flag = format!("--console-socket={}", path.display());
    let container = Container::create(runtime, &bundle, &[&flag])?;
    let mut console = Console::accept(&listener)?;
    container.start()?;
    act(&mut console)?;
    container.wait_stopped(DEADLINE)?;
    drop(container);
    let left = runtime.left_by(&bundle.id())?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

fn a_console_is_a_terminal_that_echoes_and_edits(runtime: &Runtime) -> Result<()> {
    with_console(runtime, "tty; read line; echo \"<$line>\"", |console| {
        console.expect("/dev/")?;
        console.types("abx\x7fc\n")?;
        console.expect("abx")?;
        console.expect("<abc>")
    })
}

fn the_interrupt_key_reaches_the_foreground_job(runtime: &Runtime) -> Result<()> {
    // The job itself says that it is there: a key typed earlier would only reach the shell.
    let script = "trap 'echo trapped' INT; sh -c 'echo ready; exec sleep 1000'; echo after; \
        cat </dev/tty";
    with_console(runtime, script, |console| {
        console.expect("ready")?;
        console.types("\x03")?;
        console.expect("trapped")?;
        console.expect("after")?;
        console.types("last\n\x04")?;
        console.expect("last")
    })
}

fn the_window_size_is_seen_inside(runtime: &Runtime) -> Result<()> {
    // The signal of the first change may come late: it must not end the script.
    let script = "echo ready; read line; stty size; trap 'stty size' WINCH; echo set; \
        while :; do read line; [ \"$line\" = end ] && exit; done";
    with_console(runtime, script, |console| {
        console.expect("ready")?;
        let size =
            |rows, columns| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&console.master, size(33, 77))?;
        console.types("go\n")?;
        console.expect("33 77")?;
        console.expect("set")?;
        tcsetwinsize(&console.master, size(44, 88))?;
        console.expect("44 88")?;
        console.types("end\n")
    })
}

#[test]
fn a_console_goes_on_in_a_new_sandbox() -> Result<()> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let folder = harness::scratch()?;
    let (path, image) = (folder.path().join("console"), folder.path().join("image"));
    let listener = UnixListener::bind(&path)?;
    let script = "stty -echo; read a; echo \"<$a>\"; read b; echo \"<$a $b>\"; tty; read c";
    let bundle = Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", script])?
        .edit(|config| config["process"]["terminal"] = true.into())?;
    let flag = format!("--console-socket={}", path.display());
    let container = Container::create(&runtime, &bundle, &[&flag])?;
    let mut console = Console::accept(&listener)?;
    container.start()?;
    console.types("one\n")?;
    console.expect("<one>")?;
    container.verb("checkpoint").arg("--image-path").arg(&image).output()?.success()?;
    container.wait_stopped(DEADLINE)?;
    drop((container, console));
    let id = format!("{}-again", bundle.id());
    let restore = runtime.command().args(["restore", "--detach", &flag, "--image-path"]);
    restore.arg(&image).arg("--bundle").arg(bundle.path()).arg(&id).output()?.success()?;
    let mut console = Console::accept(&listener)?;
    console.types("two\n")?;
    console.expect("<one two>")?;
    console.expect("/dev/")?;
    console.types("three\n")?;
    runtime.delete_by_force(&id)?.success()?;
    let left = [runtime.left_by(&bundle.id())?, runtime.left_by(&id)?].concat();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}
