//! A host descriptor as an open file.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
};

use abi::{
    Errno,
    fs::{
        mode::S_IFMT,
        poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM},
    },
};
use host::{HostFd, Reactor, Readiness, Ready, WatchId};
use sched::{Mutex, WaitQueue};
use vfs::{Ctx, Dst, File, Inode, Ioctl, Metadata, OpenFile, SetAttr, Src, StatFs};

use crate::Shared;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;
/// `TCGETS`, `TIOCGWINSZ`, `FIONREAD` (`ioctl_tty(2)`).
const TCGETS: u32 = 0x5401;
const TIOCGWINSZ: u32 = 0x5413;

/// A pipe, socket, terminal or file of the host that was handed over at the start. It is never
/// opened again: a descriptor, once closed, is gone.
#[derive(Debug)]
pub struct HostStream {
    fd: HostFd,
    ino: u64,
    dev: u64,
    queue: WaitQueue,
    watch: OnceLock<WatchId>,
    reactor: Arc<Reactor>,
    me: OnceLock<Weak<Self>>,
    /// Which of the container's standard streams it is, if any.
    standard: Option<u8>,
}

/// The standard streams of a new sandbox: given to a load, which takes them up where the old
/// ones were.
#[derive(Debug, Default)]
pub struct StandardStreams(Mutex<BTreeMap<u8, HostFd>>);

impl StandardStreams {
    /// Takes charge of stream number `number`.
    pub fn put(&self, number: u8, fd: HostFd) {
        let old = self.0.lock().insert(number, fd);
        drop(old);
    }
}

impl HostStream {
    /// Takes charge of `fd` and lets the I/O thread watch it. `standard`: it is this one of the
    /// container's standard streams, which a loaded sandbox gets anew.
    #[must_use]
    pub fn open(
        shared: &Arc<Shared>,
        reactor: &Arc<Reactor>,
        fd: HostFd,
        standard: Option<u8>,
    ) -> Arc<Self> {
        let stream = Arc::new(Self {
            fd,
            ino: shared.next_ino(),
            dev: shared.anonymous_dev(),
            queue: WaitQueue::new(),
            watch: OnceLock::new(),
            reactor: Arc::clone(reactor),
            me: OnceLock::new(),
            standard,
        });
        let _ = stream.me.set(Arc::downgrade(&stream));
        stream.watch();
        stream
    }

    fn watch(&self) {
        let Some(me) = self.me.get().filter(|_| !self.fd.is_regular()) else { return };
        let target: Weak<Self> = me.clone();
        if let Ok(watch) = self.reactor.watch(std::os::fd::AsFd::as_fd(&self.fd), target) {
            let _ = self.watch.set(watch);
        }
    }

    fn this(&self) -> Weak<Self> {
        self.me.get().cloned().unwrap_or_default()
    }

    /// The open file of it, with access mode `flags`.
    #[must_use]
    pub fn description(self: &Arc<Self>, flags: u32) -> Arc<OpenFile> {
        OpenFile::new(Arc::clone(self) as Arc<dyn File>, None, flags)
    }

    /// The host descriptor, for the relay of a terminal.
    #[must_use]
    pub fn host_fd(&self) -> &HostFd {
        &self.fd
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get().copied() {
            self.reactor.unwatch(watch, std::os::fd::AsFd::as_fd(&self.fd));
        }
    }
}

/// Readiness as events of poll(2).
fn events(now: Readiness) -> u32 {
    let mut events = 0;
    for (on, bits) in [
        (now.readable, POLLIN | POLLRDNORM),
        (now.writable, POLLOUT | POLLWRNORM),
        (now.urgent, POLLPRI),
        (now.read_closed, POLLRDHUP),
        (now.closed, POLLHUP),
        (now.error, POLLERR),
    ] {
        events |= if on { bits } else { 0 };
    }
    events
}

impl Ready for HostStream {
    fn ready(&self, readiness: Readiness) {
        self.queue.notify(events(readiness));
    }
}

impl state::Schema for HostStream {
    const NAME: &'static str = "HostStream";

    fn after_load(&self) -> state::Result<()> {
        self.watch();
        Ok(())
    }
}

/// A stream of the container is taken up with the descriptor that the new sandbox got for it.
impl state::Save for HostStream {
    const PRINT: u64 = state::print::text("standard, ino, dev; me");

    fn save(&self, w: &mut state::Writer<'_>) -> state::Result<()> {
        let standard = self.standard.ok_or_else(|| {
            let why = "a standard stream of a process that was put in by exec";
            state::Error::cannot_save(why)
        })?;
        standard.save(w)?;
        self.ino.save(w)?;
        self.dev.save(w)
    }

    fn save_late(&self, w: &mut state::Writer<'_>) -> state::Result<()> {
        self.me.save_late(w)
    }
}

impl state::Load for HostStream {
    fn load(r: &mut state::Reader<'_>) -> state::Result<Self> {
        let number = u8::load(r)?;
        let fd = r.given::<StandardStreams>()?.0.lock().remove(&number);
        let fd = fd.ok_or_else(|| {
            state::Error::cannot_load(format!("no standard stream {number} is given"))
        })?;
        Ok(Self {
            fd,
            ino: u64::load(r)?,
            dev: u64::load(r)?,
            queue: WaitQueue::new(),
            watch: OnceLock::new(),
            reactor: r.given()?,
            me: OnceLock::new(),
            standard: Some(number),
        })
    }

    fn fill(&self, r: &mut state::Reader<'_>) -> state::Result<()> {
        self.me.fill(r)
    }
}

impl File for HostStream {
    fn read(&self, _cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        let mut buf = vec![0; dst.remaining().min(CHUNK_BYTES)];
        let count = self.fd.read(&mut buf)?;
        dst.put(buf.get(..count).unwrap_or_default())
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        let mut done = 0;
        let mut buf = vec![0; src.remaining().min(CHUNK_BYTES)];
        while src.remaining() > 0 {
            // What was taken must be written, so it is only taken when there is room.
            if !self.fd.is_regular() && !self.fd.poll().writable {
                let readiness = self.fd.poll();
                if !(readiness.error || readiness.closed) {
                    break;
                }
            }
            let room = if self.fd.is_regular() { buf.len() } else { buf.len().min(4096) };
            let count = src.take(buf.get_mut(..room).unwrap_or_default())?;
            let mut left = buf.get(..count).unwrap_or_default();
            while !left.is_empty() {
                match self.fd.write(left) {
                    Ok(written) => {
                        done += written;
                        left = left.get(written..).unwrap_or_default();
                    }
                    Err(Errno::EAGAIN) => cx.fiber.yield_now(),
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => return Ok(done),
                }
            }
        }
        if done == 0 && src.remaining() > 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self) -> u32 {
        events(self.fd.poll())
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        (!self.fd.is_regular()).then_some(&self.queue)
    }

    fn ioctl(&self, _cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        match call.request {
            TCGETS => call.mm.write(call.addr(), &self.fd.termios()?)?,
            TIOCGWINSZ => {
                let size = self.fd.window_size()?;
                let bytes: Vec<u8> = size.iter().flat_map(|field| field.to_le_bytes()).collect();
                call.mm.write(call.addr(), &bytes)?;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        let mode = self.fd.type_bits() & S_IFMT | 0o600;
        let stream = self.this();
        Some(Arc::new(StreamInode { dev: self.dev, ino: self.ino, mode, stream }))
    }

    fn link_text(&self) -> String {
        format!("host:[{}]", self.ino)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What fstat(2) tells of a host descriptor: its type, and numbers of our own.
#[derive(Debug)]
struct StreamInode {
    dev: u64,
    ino: u64,
    mode: u32,
    stream: Weak<HostStream>,
}

state::cannot_save!(StreamInode);

impl Inode for StreamInode {
    fn metadata(&self, _cx: &Ctx<'_>) -> Result<Metadata, Errno> {
        Ok(Metadata {
            dev: self.dev,
            ino: self.ino,
            mode: self.mode,
            nlink: 1,
            block_size: 4096,
            ..Metadata::default()
        })
    }

    fn set_attr(&self, _cx: &Ctx<'_>, change: &SetAttr) -> Result<(), Errno> {
        // `> /dev/stdout` truncates.
        if change.size == Some(0) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn open(self: Arc<Self>, _cx: &Ctx<'_>, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        // Through /proc/self/fd: the same stream once more.
        Ok(self.stream.upgrade().ok_or(Errno::ENXIO)?)
    }

    fn stat_fs(&self, _cx: &Ctx<'_>) -> Result<StatFs, Errno> {
        Ok(StatFs { block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
