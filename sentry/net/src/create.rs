//! socket(2) and socketpair(2).

use std::sync::Arc;

use abi::{
    Errno,
    socket::{
        family::{AF_INET, AF_INET6, AF_MAX, AF_NETLINK, AF_PACKET, AF_UNIX},
        kind::{
            SOCK_DGRAM, SOCK_NONBLOCK, SOCK_PACKET, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
            SOCK_TYPE_MASK,
        },
        protocol::{IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, NETLINK_ROUTE},
    },
};
use auth::Capability;
use vfs::{Ctx, OpenFile};

use crate::{Namespace, Socket, Transport, inet, netlink, options::Options, unix};

/// socket(2). `kind` may have `SOCK_NONBLOCK`; `SOCK_CLOEXEC` is the caller's.
///
/// # Errors
///
/// As socket(2).
pub fn create(
    cx: &Ctx<'_>,
    namespace: &Arc<Namespace>,
    family: u32,
    kind: u32,
    protocol: i32,
) -> Result<Arc<OpenFile>, Errno> {
    let transport = transport(cx, namespace, family, kind & SOCK_TYPE_MASK, protocol)?;
    Ok(Socket::open(cx, namespace, transport, kind & SOCK_NONBLOCK))
}

/// socketpair(2): two that are connected.
///
/// # Errors
///
/// As socketpair(2); `EOPNOTSUPP` for families that have none.
pub fn create_pair(
    cx: &Ctx<'_>,
    namespace: &Arc<Namespace>,
    family: u32,
    kind: u32,
    protocol: i32,
) -> Result<[Arc<OpenFile>; 2], Errno> {
    let pure = kind & SOCK_TYPE_MASK;
    if family != u32::from(AF_UNIX) {
        return transport(cx, namespace, family, pure, protocol).and(Err(Errno::EOPNOTSUPP));
    }
    let pure = unix_kind(pure, protocol)?;
    let (a, b): (Arc<dyn Transport>, Arc<dyn Transport>) = if pure == SOCK_DGRAM {
        let (a, b) = unix::Datagram::pair(cx, namespace);
        (a, b)
    } else {
        let (a, b) = unix::Stream::pair(cx, namespace, pure);
        (a, b)
    };
    Ok([a, b].map(|transport| Socket::open(cx, namespace, transport, kind & SOCK_NONBLOCK)))
}

fn transport(
    cx: &Ctx<'_>,
    namespace: &Arc<Namespace>,
    family: u32,
    kind: u32,
    protocol: i32,
) -> Result<Arc<dyn Transport>, Errno> {
    if family >= AF_MAX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind > SOCK_PACKET {
        return Err(Errno::EINVAL);
    }
    match u16::try_from(family).unwrap_or(u16::MAX) {
        AF_UNIX => match unix_kind(kind, protocol)? {
            SOCK_DGRAM => Ok(unix::Datagram::new(namespace)),
            kind => Ok(unix::Stream::new(namespace, kind)),
        },
        family @ (AF_INET | AF_INET6) => inet_socket(cx, namespace, family, kind, protocol),
        AF_NETLINK => match (kind, protocol) {
            (SOCK_RAW | SOCK_DGRAM, NETLINK_ROUTE) => Ok(netlink::Netlink::new(namespace, kind)),
            (SOCK_RAW | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        },
        AF_PACKET if !cx.creds.has(Capability::NetRaw) => Err(Errno::EPERM),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Linux takes `SOCK_RAW` for `SOCK_DGRAM` here.
fn unix_kind(kind: u32, protocol: i32) -> Result<u32, Errno> {
    if protocol != 0 && protocol != i32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_SEQPACKET | SOCK_DGRAM => Ok(kind),
        SOCK_RAW => Ok(SOCK_DGRAM),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

fn inet_socket(
    cx: &Ctx<'_>,
    namespace: &Arc<Namespace>,
    family: u16,
    kind: u32,
    protocol: i32,
) -> Result<Arc<dyn Transport>, Errno> {
    if !(0..256).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    let echo = if family == AF_INET { IPPROTO_ICMP } else { IPPROTO_ICMPV6 };
    match (kind, protocol) {
        (SOCK_STREAM, 0 | IPPROTO_TCP) => {
            Ok(inet::Tcp::new(namespace, Options::new(family, kind, IPPROTO_TCP)))
        }
        (SOCK_DGRAM, 0 | IPPROTO_UDP) => {
            Ok(inet::Udp::new(namespace, Options::new(family, kind, IPPROTO_UDP)))
        }
        // icmp(7): `ping_group_range` lets nobody in.
        (SOCK_DGRAM, protocol) if protocol == echo => Err(Errno::EACCES),
        (SOCK_STREAM | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        (SOCK_RAW, 0) => Err(Errno::EPROTONOSUPPORT),
        (SOCK_RAW, _) if !cx.creds.has(Capability::NetRaw) => Err(Errno::EPERM),
        (SOCK_RAW, _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}
