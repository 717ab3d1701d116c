//! Settings that are whole numbers: which there are, and what they may be.

use abi::socket::{ip, ipv6, level::SOL_SOCKET, protocol, so, tcp};

/// Which values a setting may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Anything; it is kept as 0 or 1.
    Flag,
    /// From the first to the second.
    Range(i32, i32),
    /// A number of bytes, doubled for what the kernel adds (socket(7)).
    Buffer,
    /// It can be read only.
    Fixed,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    level: i32,
    name: i32,
    pub(super) default: i32,
    pub(super) shape: Shape,
}

const IP: i32 = protocol::IPPROTO_IP;
const IPV6: i32 = protocol::IPPROTO_IPV6;
const TCP: i32 = protocol::IPPROTO_TCP;
/// MTU of the loopback interface.
const MTU: i32 = 65_536;

const fn flag(level: i32, name: i32) -> Known {
    Known { level, name, default: 0, shape: Shape::Flag }
}

const fn number(level: i32, name: i32, default: i32, shape: Shape) -> Known {
    Known { level, name, default, shape }
}

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    flag(SOL_SOCKET, so::SO_REUSEADDR),
    flag(SOL_SOCKET, so::SO_REUSEPORT),
    flag(SOL_SOCKET, so::SO_KEEPALIVE),
    flag(SOL_SOCKET, so::SO_BROADCAST),
    flag(SOL_SOCKET, so::SO_OOBINLINE),
    flag(SOL_SOCKET, so::SO_DONTROUTE),
    flag(SOL_SOCKET, so::SO_PASSCRED),
    flag(SOL_SOCKET, so::SO_NO_CHECK),
    flag(SOL_SOCKET, so::SO_DEBUG),
    flag(SOL_SOCKET, so::SO_RXQ_OVFL),
    number(SOL_SOCKET, so::SO_SNDBUF,       0, Shape::Buffer),
    number(SOL_SOCKET, so::SO_RCVBUF,       0, Shape::Buffer),
    number(SOL_SOCKET, so::SO_PRIORITY,     0, Shape::Range(0, i32::MAX)),
    number(SOL_SOCKET, so::SO_MARK,         0, Shape::Range(i32::MIN, i32::MAX)),
    number(SOL_SOCKET, so::SO_RCVLOWAT,     1, Shape::Range(0, i32::MAX)),
    number(SOL_SOCKET, so::SO_SNDLOWAT,     1, Shape::Fixed),
    number(SOL_SOCKET, so::SO_PEEK_OFF,    -1, Shape::Fixed),
    number(SOL_SOCKET, so::SO_BUSY_POLL,    0, Shape::Range(0, i32::MAX)),
    number(SOL_SOCKET, so::SO_INCOMING_CPU, -1, Shape::Fixed),
    flag(IP, ip::IP_PKTINFO),
    flag(IP, ip::IP_RECVERR),
    flag(IP, ip::IP_RECVTTL),
    flag(IP, ip::IP_RECVTOS),
    flag(IP, ip::IP_FREEBIND),
    flag(IP, ip::IP_BIND_ADDRESS_NO_PORT),
    number(IP, ip::IP_TOS,            0, Shape::Range(0, 255)),
    number(IP, ip::IP_TTL,           64, Shape::Range(1, 255)),
    number(IP, ip::IP_MTU_DISCOVER,   1, Shape::Range(0, 5)),
    number(IP, ip::IP_MTU,          MTU, Shape::Fixed),
    number(IP, ip::IP_MULTICAST_TTL,  1, Shape::Range(0, 255)),
    number(IP, ip::IP_MULTICAST_LOOP, 1, Shape::Flag),
    number(IP, ip::IP_MULTICAST_ALL,  1, Shape::Flag),
    flag(IPV6, ipv6::IPV6_V6ONLY),
    flag(IPV6, ipv6::IPV6_RECVPKTINFO),
    flag(IPV6, ipv6::IPV6_RECVHOPLIMIT),
    flag(IPV6, ipv6::IPV6_RECVTCLASS),
    flag(IPV6, ipv6::IPV6_RECVERR),
    number(IPV6, ipv6::IPV6_AUTOFLOWLABEL,  1, Shape::Flag),
    number(IPV6, ipv6::IPV6_UNICAST_HOPS,  64, Shape::Range(-1, 255)),
    number(IPV6, ipv6::IPV6_MULTICAST_HOPS, 1, Shape::Range(-1, 255)),
    number(IPV6, ipv6::IPV6_MULTICAST_LOOP, 1, Shape::Range(0, 1)),
    number(IPV6, ipv6::IPV6_MTU_DISCOVER,   1, Shape::Range(0, 5)),
    number(IPV6, ipv6::IPV6_MTU,          MTU, Shape::Fixed),
    number(IPV6, ipv6::IPV6_TCLASS,         0, Shape::Range(-1, 255)),
    flag(TCP, tcp::TCP_NODELAY),
    flag(TCP, tcp::TCP_CORK),
    number(TCP, tcp::TCP_QUICKACK,          1, Shape::Flag),
    number(TCP, tcp::TCP_MAXSEG,       32_741, Shape::Range(88, 32_767)),
    number(TCP, tcp::TCP_KEEPIDLE,       7200, Shape::Range(1, 32_767)),
    number(TCP, tcp::TCP_KEEPINTVL,        75, Shape::Range(1, 32_767)),
    number(TCP, tcp::TCP_KEEPCNT,           9, Shape::Range(1, 127)),
    number(TCP, tcp::TCP_SYNCNT,            6, Shape::Range(1, 127)),
    number(TCP, tcp::TCP_LINGER2,          60, Shape::Range(-1, i32::MAX)),
    number(TCP, tcp::TCP_DEFER_ACCEPT,      0, Shape::Range(0, i32::MAX)),
    number(TCP, tcp::TCP_WINDOW_CLAMP,      0, Shape::Range(0, i32::MAX)),
    number(TCP, tcp::TCP_USER_TIMEOUT,      0, Shape::Range(0, i32::MAX)),
    number(TCP, tcp::TCP_NOTSENT_LOWAT,    -1, Shape::Range(i32::MIN, i32::MAX)),
];

/// The setting `name` of `level`.
pub(super) fn find(level: i32, name: i32) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.level == level && known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once() {
        for known in KNOWN {
            let same = |other: &&Known| other.level == known.level && other.name == known.name;
            assert_eq!(KNOWN.iter().filter(same).count(), 1, "{known:?}");
        }
    }
}
