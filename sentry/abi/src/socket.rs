//! Sockets: families, types, options, message flags (sys/socket.h, netinet/*.h).

/// Address families (socket(2)).
#[expect(missing_docs, reason = "each is the family of its name, socket(2)")]
pub mod family {
    pub const AF_UNSPEC: u16 = 0;
    pub const AF_UNIX: u16 = 1;
    pub const AF_INET: u16 = 2;
    pub const AF_INET6: u16 = 10;
    pub const AF_NETLINK: u16 = 16;
    pub const AF_PACKET: u16 = 17;
    /// One more than the highest family that Linux knows.
    pub const AF_MAX: u32 = 46;
}

/// Socket types (socket(2)).
#[expect(missing_docs, reason = "each is the type of its name, socket(2)")]
pub mod kind {
    pub const SOCK_STREAM: u32 = 1;
    pub const SOCK_DGRAM: u32 = 2;
    pub const SOCK_RAW: u32 = 3;
    pub const SOCK_RDM: u32 = 4;
    pub const SOCK_SEQPACKET: u32 = 5;
    pub const SOCK_DCCP: u32 = 6;
    pub const SOCK_PACKET: u32 = 10;
    /// The bits of socket(2)'s second argument that are the type.
    pub const SOCK_TYPE_MASK: u32 = 0xf;
    pub const SOCK_NONBLOCK: u32 = super::super::fs::open::O_NONBLOCK;
    pub const SOCK_CLOEXEC: u32 = super::super::fs::open::O_CLOEXEC;
}

/// Protocols (protocols(5)).
#[expect(missing_docs, reason = "each is the protocol of its name, protocols(5)")]
pub mod protocol {
    pub const IPPROTO_IP: i32 = 0;
    pub const IPPROTO_ICMP: i32 = 1;
    pub const IPPROTO_TCP: i32 = 6;
    pub const IPPROTO_UDP: i32 = 17;
    pub const IPPROTO_IPV6: i32 = 41;
    pub const IPPROTO_ICMPV6: i32 = 58;
    pub const NETLINK_ROUTE: i32 = 0;
}

/// Levels of setsockopt(2) beyond the protocols.
#[expect(missing_docs, reason = "each is the level of its name, setsockopt(2)")]
pub mod level {
    pub const SOL_SOCKET: i32 = 1;
    pub const SOL_NETLINK: i32 = 270;
}

/// Options of `SOL_SOCKET` (socket(7)).
#[expect(missing_docs, reason = "each is the option of its name, socket(7)")]
pub mod so {
    pub const SO_DEBUG: i32 = 1;
    pub const SO_REUSEADDR: i32 = 2;
    pub const SO_TYPE: i32 = 3;
    pub const SO_ERROR: i32 = 4;
    pub const SO_DONTROUTE: i32 = 5;
    pub const SO_BROADCAST: i32 = 6;
    pub const SO_SNDBUF: i32 = 7;
    pub const SO_RCVBUF: i32 = 8;
    pub const SO_KEEPALIVE: i32 = 9;
    pub const SO_OOBINLINE: i32 = 10;
    pub const SO_NO_CHECK: i32 = 11;
    pub const SO_PRIORITY: i32 = 12;
    pub const SO_LINGER: i32 = 13;
    pub const SO_REUSEPORT: i32 = 15;
    pub const SO_PASSCRED: i32 = 16;
    pub const SO_PEERCRED: i32 = 17;
    pub const SO_RCVLOWAT: i32 = 18;
    pub const SO_SNDLOWAT: i32 = 19;
    pub const SO_RCVTIMEO: i32 = 20;
    pub const SO_SNDTIMEO: i32 = 21;
    pub const SO_BINDTODEVICE: i32 = 25;
    pub const SO_ATTACH_FILTER: i32 = 26;
    pub const SO_DETACH_FILTER: i32 = 27;
    pub const SO_TIMESTAMP: i32 = 29;
    pub const SO_ACCEPTCONN: i32 = 30;
    pub const SO_PEERSEC: i32 = 31;
    pub const SO_SNDBUFFORCE: i32 = 32;
    pub const SO_RCVBUFFORCE: i32 = 33;
    pub const SO_TIMESTAMPNS: i32 = 35;
    pub const SO_MARK: i32 = 36;
    pub const SO_PROTOCOL: i32 = 38;
    pub const SO_DOMAIN: i32 = 39;
    pub const SO_RXQ_OVFL: i32 = 40;
    pub const SO_PEEK_OFF: i32 = 42;
    pub const SO_BUSY_POLL: i32 = 46;
    pub const SO_INCOMING_CPU: i32 = 49;
    pub const SO_COOKIE: i32 = 57;
    pub const SO_PEERGROUPS: i32 = 59;
    pub const SO_ZEROCOPY: i32 = 60;
    pub const SO_RCVTIMEO_NEW: i32 = 66;
    pub const SO_SNDTIMEO_NEW: i32 = 67;
}

/// Options of `IPPROTO_IP` (ip(7)).
#[expect(missing_docs, reason = "each is the option of its name, ip(7)")]
pub mod ip {
    pub const IP_TOS: i32 = 1;
    pub const IP_TTL: i32 = 2;
    pub const IP_PKTINFO: i32 = 8;
    pub const IP_MTU_DISCOVER: i32 = 10;
    pub const IP_RECVERR: i32 = 11;
    pub const IP_RECVTTL: i32 = 12;
    pub const IP_RECVTOS: i32 = 13;
    pub const IP_MTU: i32 = 14;
    pub const IP_FREEBIND: i32 = 15;
    pub const IP_RECVORIGDSTADDR: i32 = 20;
    pub const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
    pub const IP_MULTICAST_IF: i32 = 32;
    pub const IP_MULTICAST_TTL: i32 = 33;
    pub const IP_MULTICAST_LOOP: i32 = 34;
    pub const IP_ADD_MEMBERSHIP: i32 = 35;
    pub const IP_DROP_MEMBERSHIP: i32 = 36;
    pub const IP_MULTICAST_ALL: i32 = 49;
    pub const IP_LOCAL_PORT_RANGE: i32 = 51;
}

/// Options of `IPPROTO_IPV6` (ipv6(7)).
#[expect(missing_docs, reason = "each is the option of its name, ipv6(7)")]
pub mod ipv6 {
    pub const IPV6_UNICAST_HOPS: i32 = 16;
    pub const IPV6_MULTICAST_IF: i32 = 17;
    pub const IPV6_MULTICAST_HOPS: i32 = 18;
    pub const IPV6_MULTICAST_LOOP: i32 = 19;
    pub const IPV6_ADD_MEMBERSHIP: i32 = 20;
    pub const IPV6_DROP_MEMBERSHIP: i32 = 21;
    pub const IPV6_MTU_DISCOVER: i32 = 23;
    pub const IPV6_MTU: i32 = 24;
    pub const IPV6_RECVERR: i32 = 25;
    pub const IPV6_V6ONLY: i32 = 26;
    pub const IPV6_RECVPKTINFO: i32 = 49;
    pub const IPV6_PKTINFO: i32 = 50;
    pub const IPV6_RECVHOPLIMIT: i32 = 51;
    pub const IPV6_HOPLIMIT: i32 = 52;
    pub const IPV6_RECVTCLASS: i32 = 66;
    pub const IPV6_TCLASS: i32 = 67;
    pub const IPV6_AUTOFLOWLABEL: i32 = 70;
}

/// Options of `IPPROTO_TCP` (tcp(7)).
#[expect(missing_docs, reason = "each is the option of its name, tcp(7)")]
pub mod tcp {
    pub const TCP_NODELAY: i32 = 1;
    pub const TCP_MAXSEG: i32 = 2;
    pub const TCP_CORK: i32 = 3;
    pub const TCP_KEEPIDLE: i32 = 4;
    pub const TCP_KEEPINTVL: i32 = 5;
    pub const TCP_KEEPCNT: i32 = 6;
    pub const TCP_SYNCNT: i32 = 7;
    pub const TCP_LINGER2: i32 = 8;
    pub const TCP_DEFER_ACCEPT: i32 = 9;
    pub const TCP_WINDOW_CLAMP: i32 = 10;
    pub const TCP_INFO: i32 = 11;
    pub const TCP_QUICKACK: i32 = 12;
    pub const TCP_CONGESTION: i32 = 13;
    pub const TCP_USER_TIMEOUT: i32 = 18;
    pub const TCP_FASTOPEN: i32 = 23;
    pub const TCP_NOTSENT_LOWAT: i32 = 25;
    pub const TCP_FASTOPEN_CONNECT: i32 = 30;
    pub const TCP_ULP: i32 = 31;
}

/// States of `struct tcp_info` (netinet/tcp.h).
#[expect(missing_docs, reason = "each is the state of its name, tcp(7)")]
pub mod tcp_state {
    pub const TCP_ESTABLISHED: u8 = 1;
    pub const TCP_SYN_SENT: u8 = 2;
    pub const TCP_FIN_WAIT2: u8 = 5;
    pub const TCP_CLOSE: u8 = 7;
    pub const TCP_CLOSE_WAIT: u8 = 8;
    pub const TCP_LISTEN: u8 = 10;
}

/// Flags of send(2) and recv(2).
#[expect(missing_docs, reason = "each is the flag of its name, recv(2)")]
pub mod msg {
    pub const MSG_OOB: u32 = 0x1;
    pub const MSG_PEEK: u32 = 0x2;
    pub const MSG_DONTROUTE: u32 = 0x4;
    pub const MSG_CTRUNC: u32 = 0x8;
    pub const MSG_TRUNC: u32 = 0x20;
    pub const MSG_DONTWAIT: u32 = 0x40;
    pub const MSG_EOR: u32 = 0x80;
    pub const MSG_WAITALL: u32 = 0x100;
    pub const MSG_CONFIRM: u32 = 0x800;
    pub const MSG_ERRQUEUE: u32 = 0x2000;
    pub const MSG_NOSIGNAL: u32 = 0x4000;
    pub const MSG_MORE: u32 = 0x8000;
    pub const MSG_WAITFORONE: u32 = 0x1_0000;
    pub const MSG_ZEROCOPY: u32 = 0x400_0000;
    pub const MSG_FASTOPEN: u32 = 0x2000_0000;
    pub const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;
}

/// Control messages of `SOL_SOCKET` (unix(7)).
#[expect(missing_docs, reason = "each is the message of its name, unix(7)")]
pub mod scm {
    pub const SCM_RIGHTS: i32 = 1;
    pub const SCM_CREDENTIALS: i32 = 2;
    /// Most descriptors of one message (unix(7)).
    pub const SCM_MAX_FD: usize = 253;
}

/// Requests of ioctl(2) on sockets (netdevice(7), socket(7)).
#[expect(missing_docs, reason = "each is the request of its name, netdevice(7)")]
pub mod ioctl {
    pub const FIONREAD: u32 = 0x541b;
    pub const SIOCOUTQ: u32 = 0x5411;
    pub const SIOCATMARK: u32 = 0x8905;
    pub const SIOCGSTAMP: u32 = 0x8906;
    pub const SIOCGIFNAME: u32 = 0x8910;
    pub const SIOCGIFCONF: u32 = 0x8912;
    pub const SIOCGIFFLAGS: u32 = 0x8913;
    pub const SIOCSIFFLAGS: u32 = 0x8914;
    pub const SIOCGIFADDR: u32 = 0x8915;
    pub const SIOCSIFADDR: u32 = 0x8916;
    pub const SIOCGIFDSTADDR: u32 = 0x8917;
    pub const SIOCGIFBRDADDR: u32 = 0x8919;
    pub const SIOCGIFNETMASK: u32 = 0x891b;
    pub const SIOCGIFMETRIC: u32 = 0x891d;
    pub const SIOCGIFMTU: u32 = 0x8921;
    pub const SIOCGIFHWADDR: u32 = 0x8927;
    pub const SIOCGIFINDEX: u32 = 0x8933;
    pub const SIOCGIFTXQLEN: u32 = 0x8942;
    pub const SIOCETHTOOL: u32 = 0x8946;
    pub const SIOCGIFMAP: u32 = 0x8970;
}

/// Bytes of `struct sockaddr_storage`: no address is longer.
pub const SOCKADDR_MAX_BYTES: usize = 128;
/// Bytes of `struct sockaddr_in`.
pub const SOCKADDR_IN_BYTES: usize = 16;
/// Bytes of `struct sockaddr_in6`.
pub const SOCKADDR_IN6_BYTES: usize = 28;
/// Bytes of `struct sockaddr_in6` before its scope was added (RFC 2133).
pub const SOCKADDR_IN6_MIN_BYTES: usize = 24;
/// Bytes of `struct sockaddr_un`.
pub const SOCKADDR_UN_BYTES: usize = 110;
/// Bytes of `struct sockaddr_nl`.
pub const SOCKADDR_NL_BYTES: usize = 12;

/// `struct ucred` (unix(7)).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "each is the field of its name, unix(7)")]
pub struct Ucred {
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
}

/// `struct msghdr` of x86-64 (recvmsg(2)).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "each is the field of its name, recvmsg(2)")]
pub struct Msghdr {
    pub name: u64,
    pub name_len: u32,
    pub pad: u32,
    pub iov: u64,
    pub iov_len: u64,
    pub control: u64,
    pub control_len: u64,
    pub flags: u32,
    pub pad2: u32,
}

/// Bytes of `struct cmsghdr` (cmsg(3)).
pub const CMSGHDR_BYTES: usize = 16;

/// Rounds up a length as control messages are laid out (cmsg(3), `CMSG_ALIGN`).
#[must_use]
pub const fn cmsg_align(len: usize) -> usize {
    len.saturating_add(7) & !7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_size_of_the_abi() {
        assert_eq!(size_of::<Msghdr>(), 56);
        assert_eq!(size_of::<Ucred>(), 12);
        assert_eq!(cmsg_align(17), 24);
        assert_eq!(cmsg_align(usize::MAX), usize::MAX & !7);
    }
}
