//! Sockets as descriptors refer to them.

use std::{any::Any, sync::Arc};

use abi::{
    Errno,
    fs::{
        open::{O_NONBLOCK, O_RDWR},
        poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM},
    },
    socket::{
        ioctl::{FIONREAD, SIOCATMARK, SIOCOUTQ},
        ipv6::IPV6_V6ONLY,
        level::SOL_SOCKET,
        protocol::{IPPROTO_IPV6, IPPROTO_TCP},
        so,
        tcp::TCP_INFO,
    },
};
use sched::WaitQueue;
use state::live::Live;
use vfs::{Ctx, Dst, File, Inode, Ioctl, OpenFile, Src};

use crate::{
    Address, Namespace, Outgoing, Received, RecvHow, Shutdown, Transport, inode::SocketInode,
    interface, patience::Patience,
};

/// Events that let a reader go on.
const READABLE: u32 = POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP | POLLERR;
/// Events that let a writer go on.
const WRITABLE: u32 = POLLOUT | POLLWRNORM | POLLHUP | POLLERR;
/// Bytes of `struct tcp_info` up to what Linux 4.4 has.
const TCP_INFO_BYTES: usize = 192;
/// Longest backlog (`/proc/sys/net/core/somaxconn`).
const BACKLOG_MAX: i32 = 4096;

/// A socket.
#[derive(Debug, state::Save, state::Load)]
pub struct Socket {
    transport: Arc<dyn Transport>,
    namespace: Arc<Namespace>,
    inode: Arc<SocketInode>,
    #[state(skip)]
    _live: Live<Self>,
}

impl Socket {
    /// Makes an open file of a transport; `flags` may have `O_NONBLOCK`.
    pub(crate) fn open(
        cx: &Ctx<'_>,
        namespace: &Arc<Namespace>,
        transport: Arc<dyn Transport>,
        flags: u32,
    ) -> Arc<OpenFile> {
        let inode = SocketInode::new(cx, namespace.next_ino());
        let socket =
            Self { transport, namespace: Arc::clone(namespace), inode, _live: Live::new() };
        OpenFile::new(Arc::new(socket), None, O_RDWR | (flags & O_NONBLOCK))
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Its number, which `/proc/PID/fd/N` and `/proc/net` show.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.inode.ino()
    }

    /// True if it carries bytes without bounds: a broken one is told by SIGPIPE as well.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.transport.is_stream()
    }

    fn timeout(&self, cx: &Ctx<'_>, writing: bool) -> Option<u64> {
        self.transport.options().deadline_ns(cx.fiber.sched().now_ns(), writing)
    }

    /// bind(2).
    ///
    /// # Errors
    ///
    /// As bind(2).
    pub fn bind(&self, cx: &Ctx<'_>, addr: &Address) -> Result<(), Errno> {
        self.transport.bind(cx, addr)
    }

    /// listen(2).
    ///
    /// # Errors
    ///
    /// As listen(2).
    pub fn listen(&self, cx: &Ctx<'_>, backlog: i32) -> Result<(), Errno> {
        // Linux reads it as unsigned, so a negative one is the largest.
        let backlog = if backlog < 0 { BACKLOG_MAX } else { backlog.min(BACKLOG_MAX) };
        self.transport.listen(cx, usize::try_from(backlog).unwrap_or(0))
    }

    /// accept4(2): waits for a connection, unless `nonblocking`. `flags` may have `O_NONBLOCK`,
    /// for the new socket.
    ///
    /// # Errors
    ///
    /// As accept(2).
    pub fn accept(
        &self,
        cx: &Ctx<'_>,
        nonblocking: bool,
        flags: u32,
    ) -> Result<Arc<OpenFile>, Errno> {
        let deadline_ns = self.timeout(cx, false);
        let patience = Patience { nonblocking, deadline_ns };
        loop {
            match self.transport.accept(cx) {
                Ok(transport) => return Ok(Self::open(cx, &self.namespace, transport, flags)),
                Err(Errno::EAGAIN) => self.wait(cx, &patience, READABLE)?,
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, cx: &Ctx<'_>, patience: &Patience, events: u32) -> Result<(), Errno> {
        let ready = || self.transport.poll() & events != 0;
        patience.wait(cx, self.transport.queue(), events, ready)
    }

    /// connect(2).
    ///
    /// # Errors
    ///
    /// As connect(2).
    pub fn connect(&self, cx: &Ctx<'_>, addr: &Address, nonblocking: bool) -> Result<(), Errno> {
        let deadline_ns = self.timeout(cx, true);
        self.transport.connect(cx, addr, Patience { nonblocking, deadline_ns })
    }

    /// sendmsg(2). A stream sends all unless it may not wait.
    ///
    /// # Errors
    ///
    /// As sendmsg(2), without the signal that goes with `EPIPE`.
    pub fn send(
        &self,
        cx: &Ctx<'_>,
        src: &mut dyn Src,
        mut out: Outgoing,
        nonblocking: bool,
    ) -> Result<usize, Errno> {
        if out.out_of_band {
            return Err(Errno::EOPNOTSUPP);
        }
        let patience = Patience {
            nonblocking: nonblocking || out.dont_wait,
            deadline_ns: self.timeout(cx, true),
        };
        if !out.rights.is_empty() && !self.namespace.flight().has_room(out.rights.len()) {
            self.namespace.flight().collect(cx);
        }
        let mut done = 0;
        loop {
            let step = match self.transport.send(cx, src, &mut out) {
                Ok(count) => {
                    done += count;
                    if !self.transport.is_stream() || src.remaining() == 0 || count == 0 {
                        return Ok(done);
                    }
                    // They went with the first bytes.
                    out.rights.clear();
                    continue;
                }
                Err(Errno::EAGAIN) => self.wait_to_send(cx, &patience, &out),
                Err(error) => Err(error),
            };
            match step {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_to_send(&self, cx: &Ctx<'_>, patience: &Patience, out: &Outgoing) -> Result<(), Errno> {
        let Some(busy) = &out.busy else { return self.wait(cx, patience, WRITABLE) };
        let ready = || busy.upgrade().is_none_or(|receiver| receiver.has_room());
        patience.wait(cx, self.transport.queue(), WRITABLE, ready)
    }

    /// recvmsg(2).
    ///
    /// # Errors
    ///
    /// As recvmsg(2).
    pub fn recv(
        &self,
        cx: &Ctx<'_>,
        dst: &mut dyn Dst,
        how: RecvHow,
        nonblocking: bool,
    ) -> Result<Received, Errno> {
        if how.error_queue {
            return Err(Errno::EAGAIN);
        }
        if how.out_of_band {
            return Err(if self.transport.is_stream() { Errno::EINVAL } else { Errno::EOPNOTSUPP });
        }
        let patience = Patience {
            nonblocking: nonblocking || how.dont_wait,
            deadline_ns: self.timeout(cx, false),
        };
        let mut all = loop {
            match self.transport.recv(cx, dst, how) {
                Err(Errno::EAGAIN) => self.wait(cx, &patience, READABLE)?,
                result => break result?,
            }
        };
        let goes_on = how.wait_all && !how.peek && self.transport.is_stream();
        while goes_on && all.count > 0 && dst.remaining() > 0 && all.control.rights.is_empty() {
            match self.transport.recv(cx, dst, how) {
                Ok(more) if more.count == 0 => break,
                Ok(more) => {
                    all.count += more.count;
                    all.control.rights = more.control.rights;
                }
                Err(Errno::EAGAIN) if self.wait(cx, &patience, READABLE).is_ok() => {}
                Err(_) => break,
            }
        }
        Ok(all)
    }

    /// shutdown(2).
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn shutdown(&self, cx: &Ctx<'_>, how: Shutdown) -> Result<(), Errno> {
        self.transport.shutdown(cx, how)
    }

    /// getsockname(2).
    #[must_use]
    pub fn local(&self) -> Address {
        self.transport.local()
    }

    /// getpeername(2).
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn peer(&self) -> Result<Address, Errno> {
        self.transport.peer()
    }

    /// setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    pub fn set_option(
        &self,
        cx: &Ctx<'_>,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let options = self.transport.options();
        options.check_level(level, true)?;
        if (level, name) == (IPPROTO_IPV6, IPV6_V6ONLY) && self.is_bound() {
            return Err(Errno::EINVAL);
        }
        options.set(cx, level, name, value)
    }

    fn is_bound(&self) -> bool {
        matches!(self.transport.local(), Address::Inet(addr) if addr.port() != 0)
    }

    /// getsockopt(2): the bytes of the option.
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    pub fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let options = self.transport.options();
        options.check_level(level, false)?;
        let int = |value: i32| Ok(value.to_ne_bytes().to_vec());
        match (level, name) {
            (SOL_SOCKET, so::SO_ERROR) => {
                int(self.transport.take_error().map_or(0, |error| i32::from(error.raw())))
            }
            (SOL_SOCKET, so::SO_ACCEPTCONN) => int(i32::from(self.transport.listening())),
            (SOL_SOCKET, so::SO_COOKIE) => Ok(self.ino().to_ne_bytes().to_vec()),
            (SOL_SOCKET, so::SO_PEERCRED) => {
                let nobody = abi::socket::Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
                let creds = self.transport.peer_credentials().unwrap_or(nobody);
                let words = [creds.pid, creds.uid, creds.gid];
                Ok(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
            }
            (IPPROTO_TCP, TCP_INFO) => {
                let mut info = vec![0; TCP_INFO_BYTES];
                if let Some(state) = info.first_mut() {
                    *state = self.transport.tcp_state();
                }
                Ok(info)
            }
            _ => options.get(level, name),
        }
    }

    fn put_int(call: &Ioctl<'_>, value: usize) -> Result<u64, Errno> {
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        call.mm.write_value(call.addr(), &value)?;
        Ok(0)
    }
}

impl File for Socket {
    fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst, _offset: u64) -> Result<usize, Errno> {
        let received = self.transport.recv(cx, dst, RecvHow::default())?;
        received.control.discard(cx);
        Ok(received.count)
    }

    fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src, _offset: u64) -> Result<usize, Errno> {
        self.transport.send(cx, src, &mut Outgoing::default())
    }

    fn poll(&self) -> u32 {
        self.transport.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.transport.queue())
    }

    fn deadline_ns(&self, cx: &Ctx<'_>, writing: bool) -> Option<u64> {
        self.timeout(cx, writing)
    }

    fn ioctl(&self, cx: &Ctx<'_>, call: Ioctl<'_>) -> Result<u64, Errno> {
        match call.request {
            FIONREAD => Self::put_int(&call, self.transport.readable_bytes()?),
            SIOCOUTQ => Self::put_int(&call, self.transport.unsent_bytes()?),
            SIOCATMARK if self.transport.options().is_tcp() => Self::put_int(&call, 0),
            _ => interface::ioctl(cx, &call),
        }
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn release(&self, cx: &Ctx<'_>) {
        self.transport.release(cx);
        self.descriptor_closed(cx);
    }

    fn descriptor_closed(&self, cx: &Ctx<'_>) {
        if self.transport.is_unix() {
            self.namespace.flight().closed(cx);
        }
    }

    fn link_text(&self) -> String {
        format!("socket:[{}]", self.ino())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
