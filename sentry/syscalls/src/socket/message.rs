//! Sending and receiving.

use abi::{
    AddrRange, Errno, Timespec, UserAddr,
    socket::{
        Msghdr, SOCKADDR_MAX_BYTES,
        msg::{
            MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_FASTOPEN, MSG_NOSIGNAL,
            MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_WAITFORONE,
        },
    },
};
use kernel::{Cx, SysResult, UserDst, UserSrc};
use net::{Outgoing, Received, RecvHow};

use super::{
    Opened,
    address::{read_address, store, write_address},
    control::{Writer, read_control, write_control},
};
use crate::{Args, read_write::with_sigpipe};

/// Most pieces of a message, and most messages of one call (`UIO_MAXIOV`).
const PIECES_MAX: u64 = 1024;
/// Most bytes of one message (`MAX_RW_COUNT`).
const MESSAGE_MAX_BYTES: u64 = 0x7fff_f000;
/// Bytes of `struct mmsghdr`, and where its length stands.
const MMSGHDR_BYTES: u64 = 64;
const MMSGHDR_LEN: u64 = 56;
/// Where `struct msghdr` has what is stored back.
const MSGHDR_NAME_LEN: u64 = 8;
const MSGHDR_CONTROL_LEN: u64 = 40;
const MSGHDR_FLAGS: u64 = 48;

fn one_range(addr: UserAddr, len: u64) -> Result<Vec<AddrRange>, Errno> {
    addr.range(len.min(MESSAGE_MAX_BYTES)).map(|range| vec![range]).ok_or(Errno::EFAULT)
}

fn pieces(cx: &Cx<'_>, header: &Msghdr) -> Result<Vec<AddrRange>, Errno> {
    if header.iov_len > PIECES_MAX {
        return Err(Errno::EMSGSIZE);
    }
    cx.mm.read_iovecs(UserAddr::new(header.iov), header.iov_len)
}

fn outgoing(flags: u32) -> Outgoing {
    Outgoing::with_flags(flags & MSG_DONTWAIT != 0, flags & MSG_OOB != 0)
}

fn send(
    cx: &Cx<'_>,
    opened: &Opened,
    ranges: Vec<AddrRange>,
    out: Outgoing,
    flags: u32,
) -> SysResult {
    if flags & MSG_FASTOPEN != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let socket = opened.socket()?;
    let mut src = UserSrc::new(cx.mm.clone(), ranges);
    let env = cx.env();
    let result = socket.send(&env.ctx(), &mut src, out, opened.is_nonblocking());
    if flags & MSG_NOSIGNAL == 0 && socket.is_stream() {
        return with_sigpipe(cx, result);
    }
    result.map(|count| count as u64)
}

/// `ssize_t sendto(int sockfd, const void *buf, size_t len, int flags,
/// const struct sockaddr *dest_addr, socklen_t addrlen)`
pub(super) fn sendto(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let ranges = one_range(args.addr(1), args.get(2))?;
    let mut out = outgoing(args.u32(3));
    if !args.addr(4).is_null() {
        out.to = Some(read_address(cx, args.addr(4), args.u32(5))?);
    }
    send(cx, &opened, ranges, out, args.u32(3))
}

/// `ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags)`
pub(super) fn sendmsg(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    send_message(cx, &opened, args.addr(1), args.u32(2))
}

fn send_message(cx: &Cx<'_>, opened: &Opened, addr: UserAddr, flags: u32) -> SysResult {
    let header: Msghdr = cx.mm.read_value(addr)?;
    let mut out = outgoing(flags);
    if header.name != 0 && header.name_len > 0 {
        let len = name_space(&header)?;
        out.to = Some(read_address(cx, UserAddr::new(header.name), len)?);
    }
    let ranges = pieces(cx, &header)?;
    if header.control_len > 0 {
        read_control(cx, UserAddr::new(header.control), header.control_len, &mut out)?;
    }
    send(cx, opened, ranges, out, flags)
}

/// The space for an address that a header tells; what no address needs is cut off.
fn name_space(header: &Msghdr) -> Result<u32, Errno> {
    if header.name_len.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let most = u32::try_from(SOCKADDR_MAX_BYTES).map_err(|_| Errno::EINVAL)?;
    Ok(header.name_len.min(most))
}

/// `int sendmmsg(int sockfd, struct mmsghdr *msgvec, unsigned vlen, int flags)`
pub(super) fn sendmmsg(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let count = u64::from(args.u32(2)).min(PIECES_MAX);
    for done in 0..count {
        let addr = args.addr(1).wrapping_add(done * MMSGHDR_BYTES);
        let step = send_message(cx, &opened, addr, args.u32(3))
            .and_then(|sent| store_length(cx, addr, sent));
        match step {
            Ok(()) => {}
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn store_length(cx: &Cx<'_>, addr: UserAddr, len: u64) -> Result<(), Errno> {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    cx.mm.write_value(addr.wrapping_add(MMSGHDR_LEN), &len)
}

fn how(flags: u32) -> RecvHow {
    RecvHow {
        peek: flags & MSG_PEEK != 0,
        trunc: flags & MSG_TRUNC != 0,
        wait_all: flags & MSG_WAITALL != 0,
        dont_wait: flags & MSG_DONTWAIT != 0,
        error_queue: flags & MSG_ERRQUEUE != 0,
        out_of_band: flags & MSG_OOB != 0,
    }
}

fn recv(
    cx: &Cx<'_>,
    opened: &Opened,
    ranges: Vec<AddrRange>,
    flags: u32,
) -> Result<Received, Errno> {
    let mut dst = UserDst::new(cx.mm.clone(), ranges);
    let env = cx.env();
    opened.socket()?.recv(&env.ctx(), &mut dst, how(flags), opened.is_nonblocking())
}

/// `ssize_t recvfrom(int sockfd, void *buf, size_t len, int flags, struct sockaddr *src_addr,
/// socklen_t *addrlen)`
pub(super) fn recvfrom(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let ranges = one_range(args.addr(1), args.get(2))?;
    let received = recv(cx, &opened, ranges, args.u32(3))?;
    let env = cx.env();
    received.control.discard(&env.ctx());
    if !args.addr(4).is_null() {
        match &received.from {
            Some(from) => write_address(cx, from, args.addr(4), args.addr(5))?,
            None => cx.mm.write_value(args.addr(5), &0_u32)?,
        }
    }
    Ok(received.count as u64)
}

/// `ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags)`
pub(super) fn recvmsg(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    recv_message(cx, &opened, args.addr(1), args.u32(2))
}

fn recv_message(cx: &Cx<'_>, opened: &Opened, addr: UserAddr, flags: u32) -> SysResult {
    let header: Msghdr = cx.mm.read_value(addr)?;
    let name_space = name_space(&header)?.cast_signed();
    let ranges = pieces(cx, &header)?;
    let received = recv(cx, opened, ranges, flags)?;
    let mut told = flags & MSG_CMSG_CLOEXEC;
    if received.truncated {
        told |= MSG_TRUNC;
    }
    let space = if header.control == 0 { 0 } else { header.control_len };
    let mut writer = Writer::new(space);
    let installed = write_control(cx, &mut writer, received.control, flags & MSG_CMSG_CLOEXEC != 0);
    if writer.truncated {
        told |= MSG_CTRUNC;
    }
    let stored = (|| {
        if header.name != 0 {
            let len = match &received.from {
                Some(from) => store(cx, from, UserAddr::new(header.name), name_space)?,
                None => 0,
            };
            cx.mm.write_value(addr.wrapping_add(MSGHDR_NAME_LEN), &len)?;
        }
        cx.mm.write(UserAddr::new(header.control), writer.bytes())?;
        let control_len = writer.bytes().len() as u64;
        cx.mm.write_value(addr.wrapping_add(MSGHDR_CONTROL_LEN), &control_len)?;
        cx.mm.write_value(addr.wrapping_add(MSGHDR_FLAGS), &told)
    })();
    if let Err(error) = stored {
        // The caller does not learn their numbers.
        for fd in installed {
            cx.close(fd)?;
        }
        return Err(error);
    }
    Ok(received.count as u64)
}

/// `int recvmmsg(int sockfd, struct mmsghdr *msgvec, unsigned vlen, int flags,
/// struct timespec *timeout)`
pub(super) fn recvmmsg(cx: &mut Cx<'_>, args: Args) -> SysResult {
    let opened = Opened::get(cx, args.i32(0))?;
    let count = u64::from(args.u32(2)).min(PIECES_MAX);
    let timeout = args.addr(4);
    let deadline_ns = if timeout.is_null() {
        None
    } else {
        let span: Timespec = cx.mm.read_value(timeout)?;
        Some(cx.now_ns().saturating_add(span.to_ns().ok_or(Errno::EINVAL)?))
    };
    let mut flags = args.u32(3) & !MSG_WAITFORONE;
    let mut done = 0;
    while done < count {
        let addr = args.addr(1).wrapping_add(done * MMSGHDR_BYTES);
        let step = recv_message(cx, &opened, addr, flags)
            .and_then(|received| store_length(cx, addr, received));
        match step {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if args.u32(3) & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        // recvmmsg(2): the time is looked at only after each message.
        if deadline_ns.is_some_and(|deadline| cx.now_ns() >= deadline) {
            break;
        }
    }
    if let Some(deadline) = deadline_ns {
        let left = Timespec::from_ns(deadline.saturating_sub(cx.now_ns()));
        cx.mm.write_value(timeout, &left)?;
    }
    Ok(done)
}
