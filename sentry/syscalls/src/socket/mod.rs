//! Sockets.

mod address;
mod control;
mod message;
mod options;

use std::sync::Arc;

use abi::{
    Errno,
    socket::kind::{SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK},
};
use kernel::{Cx, Resource, SysResult};
use net::{Namespace, Shutdown, Socket};
use vfs::OpenFile;

use self::address::{read_address, write_address};
use crate::{
    Args,
    table::{Entry, full, partial},
};

#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    partial( 41, "socket",      "ddd",    socket, "AF_UNIX, AF_INET, AF_INET6 and NETLINK_ROUTE; no raw sockets"),
    full(    42, "connect",     "fxu",    connect),
    full(    43, "accept",      "fxx",    accept),
    partial( 44, "sendto",      "fbuxxu", message::sendto, "no MSG_OOB, MSG_FASTOPEN, MSG_ZEROCOPY"),
    partial( 45, "recvfrom",    "fxuxxx", message::recvfrom, "no MSG_OOB, empty error queue"),
    partial( 46, "sendmsg",     "fxx",    message::sendmsg, "no MSG_OOB, MSG_FASTOPEN, MSG_ZEROCOPY"),
    partial( 47, "recvmsg",     "fxx",    message::recvmsg, "no MSG_OOB, empty error queue, no timestamps"),
    full(    48, "shutdown",    "fd",     shutdown),
    full(    49, "bind",        "fxu",    bind),
    full(    50, "listen",      "fd",     listen),
    full(    51, "getsockname", "fxx",    getsockname),
    full(    52, "getpeername", "fxx",    getpeername),
    full(    53, "socketpair",  "dddx",   socketpair),
    partial( 54, "setsockopt",  "fddxu",  options::setsockopt, "no filters, timestamps, multicast"),
    partial( 55, "getsockopt",  "fddxx",  options::getsockopt, "no filters, timestamps, multicast"),
    full(   288, "accept4",     "fxxx",   accept4),
    partial(299, "recvmmsg",    "fxuxx",  message::recvmmsg, "no MSG_OOB, empty error queue, no timestamps"),
    partial(307, "sendmmsg",    "fxux",   message::sendmmsg, "no MSG_OOB, MSG_FASTOPEN, MSG_ZEROCOPY"),
];

/// A descriptor of a socket.
struct Opened(Arc<OpenFile>);

impl Opened {
    fn get(cx: &Cx<'_>, fd: i32) -> Result<Self, Errno> {
        let file = cx.files.get_io(fd)?;
        if file.downcast::<Socket>().is_none() {
            return Err(Errno::ENOTSOCK);
        }
        Ok(Self(file))
    }

    fn socket(&self) -> Result<&Socket, Errno> {
        self.0.downcast().ok_or(Errno::ENOTSOCK)
    }

    fn is_nonblocking(&self) -> bool {
        self.0.is_nonblocking()
    }
}

/// Gives a new file a descriptor; without one it is closed.
fn install(cx: &Cx<'_>, file: &Arc<OpenFile>, close_on_exec: bool) -> Result<i32, Errno> {
    let env = cx.env();
    file.add_user();
    let result = cx.install(Arc::clone(file), close_on_exec);
    file.remove_user(&env.ctx());
    result
}

fn number(fd: i32) -> u64 {
    u64::from(fd.unsigned_abs())
}

/// `int socket(int domain, int type, int protocol)`
fn socket(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let kind = args.flags(1, SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC)?;
    let namespace = Namespace::of(cx.kernel());
    let env = cx.env();
    let file = net::create(&env.ctx(), &namespace, args.u32(0), kind, args.i32(2))?;
    install(cx, &file, kind & SOCK_CLOEXEC != 0).map(number)
}

/// `int socketpair(int domain, int type, int protocol, int sv[2])`
fn socketpair(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let kind = args.flags(1, SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC)?;
    let namespace = Namespace::of(cx.kernel());
    let env = cx.env();
    let [a, b] = net::create_pair(&env.ctx(), &namespace, args.u32(0), kind, args.i32(2))?;
    let close_on_exec = kind & SOCK_CLOEXEC != 0;
    let first = install(cx, &a, close_on_exec)?;
    let second = match install(cx, &b, close_on_exec) {
        Ok(second) => second,
        Err(error) => {
            cx.close(first)?;
            return Err(error);
        }
    };
    if let Err(error) = cx.mm.write_value(args.addr(3), &[first, second]) {
        cx.close(first)?;
        cx.close(second)?;
        return Err(error);
    }
    Ok(0)
}

/// `int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen)`
fn bind(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let addr = read_address(cx, args.addr(1), args.u32(2))?;
    let env = cx.env();
    opened.socket()?.bind(&env.ctx(), &addr).map(|()| 0)
}

/// `int listen(int sockfd, int backlog)`
fn listen(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let env = cx.env();
    opened.socket()?.listen(&env.ctx(), args.i32(1)).map(|()| 0)
}

/// `int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen)`
fn connect(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let addr = read_address(cx, args.addr(1), args.u32(2))?;
    let env = cx.env();
    opened.socket()?.connect(&env.ctx(), &addr, opened.is_nonblocking()).map(|()| 0)
}

/// `int accept(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`
fn accept(cx: &mut Cx<'_>, args: Args) -> SysResult {
    accept_with(cx, args, 0)
}

/// `int accept4(int sockfd, struct sockaddr *addr, socklen_t *addrlen, int flags)`
fn accept4(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let flags = args.flags(3, SOCK_NONBLOCK | SOCK_CLOEXEC)?;
    accept_with(cx, args, flags)
}

fn accept_with(cx: &Cx<'_>, args: Args, flags: u32) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    if !cx.files.has_room(cx.process().limits.lock().soft(Resource::Nofile)) {
        return Err(Errno::EMFILE);
    }
    let env = cx.env();
    let file =
        opened.socket()?.accept(&env.ctx(), opened.is_nonblocking(), flags & SOCK_NONBLOCK)?;
    let peer = file.downcast::<Socket>().and_then(|socket| socket.peer().ok());
    let fd = install(cx, &file, flags & SOCK_CLOEXEC != 0)?;
    if !args.addr(1).is_null() {
        // One whose peer has gone already has no address, but is a connection.
        let stored = match peer {
            Some(peer) => write_address(cx, &peer, args.addr(1), args.addr(2)),
            None => cx.mm.write_value(args.addr(2), &0_u32),
        };
        if let Err(error) = stored {
            cx.close(fd)?;
            return Err(error);
        }
    }
    Ok(number(fd))
}

/// `int getsockname(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`
fn getsockname(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    write_address(cx, &opened.socket()?.local(), args.addr(1), args.addr(2)).map(|()| 0)
}

/// `int getpeername(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`
fn getpeername(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    write_address(cx, &opened.socket()?.peer()?, args.addr(1), args.addr(2)).map(|()| 0)
}

/// `int shutdown(int sockfd, int how)`
fn shutdown(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let how = match args.i32(1) {
        0 => Shutdown { read: true, write: false },
        1 => Shutdown { read: false, write: true },
        2 => Shutdown { read: true, write: true },
        _ => return Err(Errno::EINVAL),
    };
    let env = cx.env();
    opened.socket()?.shutdown(&env.ctx(), how).map(|()| 0)
}
