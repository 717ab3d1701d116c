//! Socket addresses and their layout in memory (unix(7), ip(7), ipv6(7), netlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use abi::{
    Errno,
    socket::{
        SOCKADDR_IN_BYTES, SOCKADDR_IN6_BYTES, SOCKADDR_IN6_MIN_BYTES, SOCKADDR_NL_BYTES,
        SOCKADDR_UN_BYTES,
        family::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, AF_UNSPEC},
    },
};

/// The name of a Unix socket (unix(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, state::Save, state::Load)]
pub enum UnixName {
    /// None.
    #[default]
    Unnamed,
    /// A path, without NUL.
    Path(Vec<u8>),
    /// A name of the abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
}

impl UnixName {
    /// As the sender of a message: one without a name has no address at all.
    pub(crate) fn given(self) -> Option<Address> {
        if self == Self::Unnamed { None } else { Some(Address::Unix(self)) }
    }
}

/// An address of any family.
#[derive(Clone, Debug, PartialEq, Eq, state::Save, state::Load)]
pub enum Address {
    /// `AF_UNSPEC`: to connect(2) it means "to nobody".
    Unspecified,
    /// `AF_UNIX`.
    Unix(UnixName),
    /// `AF_INET` or `AF_INET6`.
    Inet(SocketAddr),
    /// `AF_NETLINK`.
    Netlink {
        /// Port number: 0 is the kernel.
        port: u32,
        /// Multicast groups.
        groups: u32,
    },
    /// A family that is not served.
    Other(u16),
}

impl Address {
    /// Reads an address as an application gave it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is too short (or too long) for its family.
    pub fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let family = u16::from_ne_bytes(array(bytes, 0)?);
        match family {
            AF_UNSPEC => Ok(Self::Unspecified),
            AF_UNIX if bytes.len() <= SOCKADDR_UN_BYTES => {
                Ok(Self::Unix(parse_unix(bytes.get(2..).unwrap_or_default())))
            }
            AF_INET if bytes.len() >= SOCKADDR_IN_BYTES => {
                let port = u16::from_be_bytes(array(bytes, 2)?);
                let ip = Ipv4Addr::from(array::<4>(bytes, 4)?);
                Ok(Self::Inet(SocketAddr::V4(SocketAddrV4::new(ip, port))))
            }
            AF_INET6 if bytes.len() >= SOCKADDR_IN6_MIN_BYTES => {
                let port = u16::from_be_bytes(array(bytes, 2)?);
                let flow = u32::from_be_bytes(array(bytes, 4)?);
                let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
                let scope = array(bytes, 24).map_or(0, u32::from_ne_bytes);
                Ok(Self::Inet(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope))))
            }
            AF_NETLINK if bytes.len() >= SOCKADDR_NL_BYTES => Ok(Self::Netlink {
                port: u32::from_ne_bytes(array(bytes, 4)?),
                groups: u32::from_ne_bytes(array(bytes, 8)?),
            }),
            AF_UNIX | AF_INET | AF_INET6 | AF_NETLINK => Err(Errno::EINVAL),
            other => Ok(Self::Other(other)),
        }
    }

    /// Lays the address out as an application reads it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Unspecified => AF_UNSPEC.to_ne_bytes().to_vec(),
            Self::Other(family) => family.to_ne_bytes().to_vec(),
            Self::Unix(name) => unix_bytes(name),
            Self::Inet(SocketAddr::V4(addr)) => {
                let mut bytes = Vec::with_capacity(SOCKADDR_IN_BYTES);
                bytes.extend(AF_INET.to_ne_bytes());
                bytes.extend(addr.port().to_be_bytes());
                bytes.extend(addr.ip().octets());
                bytes.resize(SOCKADDR_IN_BYTES, 0);
                bytes
            }
            Self::Inet(SocketAddr::V6(addr)) => {
                let mut bytes = Vec::with_capacity(SOCKADDR_IN6_BYTES);
                bytes.extend(AF_INET6.to_ne_bytes());
                bytes.extend(addr.port().to_be_bytes());
                bytes.extend(addr.flowinfo().to_be_bytes());
                bytes.extend(addr.ip().octets());
                bytes.extend(addr.scope_id().to_ne_bytes());
                bytes
            }
            Self::Netlink { port, groups } => {
                let mut bytes = Vec::with_capacity(SOCKADDR_NL_BYTES);
                bytes.extend(AF_NETLINK.to_ne_bytes());
                bytes.extend([0; 2]);
                bytes.extend(port.to_ne_bytes());
                bytes.extend(groups.to_ne_bytes());
                bytes
            }
        }
    }
}

/// An IPv4 address in IPv6 clothes becomes what it is.
#[must_use]
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// How a socket of `domain` sees an address: `AF_INET6` sockets see IPv4 ones mapped.
#[must_use]
pub(crate) fn seen_by(domain: u16, addr: SocketAddr) -> Address {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if domain == AF_INET6 => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    Address::Inet(SocketAddr::new(ip, addr.port()))
}

/// The `N` bytes from `at` on.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(Errno::EINVAL)
}

fn parse_unix(rest: &[u8]) -> UnixName {
    match rest.split_first() {
        None => UnixName::Unnamed,
        Some((0, name)) => UnixName::Abstract(name.to_vec()),
        Some(_) => {
            let path = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            UnixName::Path(path.to_vec())
        }
    }
}

fn unix_bytes(name: &UnixName) -> Vec<u8> {
    let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
    match name {
        UnixName::Unnamed => {}
        UnixName::Path(path) => {
            bytes.extend(path);
            bytes.push(0);
        }
        UnixName::Abstract(name) => {
            bytes.push(0);
            bytes.extend(name);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_given() {
        let addresses = [
            Address::Unspecified,
            Address::Unix(UnixName::Unnamed),
            Address::Unix(UnixName::Path(b"/run/x".to_vec())),
            Address::Unix(UnixName::Abstract(b"a\0b".to_vec())),
            Address::Inet("127.0.0.1:80".parse().unwrap()),
            Address::Inet("[::1]:8080".parse().unwrap()),
            Address::Netlink { port: 7, groups: 1 },
        ];
        for address in addresses {
            assert_eq!(Address::parse(&address.to_bytes()), Ok(address));
        }
    }

    #[test]
    fn short_and_long_ones_are_refused() {
        assert_eq!(Address::parse(&[]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[2]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[2, 0, 0, 80, 127, 0, 0, 1]), Err(Errno::EINVAL));
        let mut unix = vec![b'x'; 111];
        unix[..2].copy_from_slice(&1_u16.to_ne_bytes());
        assert_eq!(Address::parse(&unix), Err(Errno::EINVAL));
        assert!(Address::parse(&unix[..110]).is_ok());
    }

    #[test]
    fn every_length_of_every_family_is_answered() {
        for family in 0..20_u16 {
            for len in 2..=128 {
                let mut bytes = vec![0xff; len];
                bytes[..2].copy_from_slice(&family.to_ne_bytes());
                let _ = Address::parse(&bytes);
            }
        }
    }

    #[test]
    fn an_ipv6_socket_sees_ipv4_mapped() {
        let addr: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let seen = seen_by(AF_INET6, addr);
        assert_eq!(seen, Address::Inet("[::ffff:127.0.0.1]:5".parse().unwrap()));
        let Address::Inet(back) = seen else { unreachable!() };
        assert_eq!(canonical(back), addr);
    }
}
