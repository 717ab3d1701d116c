//! Local addresses that sockets are bound to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::{
    Errno,
    socket::{
        family::{AF_INET, AF_INET6},
        ip::IP_FREEBIND,
        protocol::IPPROTO_IP,
    },
};
use auth::Capability;
use vfs::Ctx;

use crate::{Address, options::Options};

/// Ports below are for the privileged (ip(7)).
const PRIVILEGED_PORTS: u16 = 1024;

/// The addresses that a socket receives at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(crate) enum Local {
    /// Every IPv4 address.
    Any4,
    /// Every IPv6 address.
    Any6,
    /// Every address of both.
    AnyDual,
    /// One, in canonical form.
    One(IpAddr),
}

impl Local {
    /// What `options` make of "any address".
    pub(super) fn any(options: &Options) -> Self {
        match options.domain {
            AF_INET6 if options.only_ipv6() => Self::Any6,
            AF_INET6 => Self::AnyDual,
            _ => Self::Any4,
        }
    }

    /// The address and port that bind(2) is given.
    ///
    /// # Errors
    ///
    /// As bind(2).
    pub(super) fn parse(
        cx: &Ctx<'_>,
        options: &Options,
        addr: &Address,
    ) -> Result<(Self, u16), Errno> {
        let Address::Inet(addr) = *addr else { return Err(Errno::EAFNOSUPPORT) };
        if addr.is_ipv4() != (options.domain == AF_INET) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let port = addr.port();
        if (1..PRIVILEGED_PORTS).contains(&port) && !cx.creds.has(Capability::NetBindService) {
            return Err(Errno::EACCES);
        }
        let ip = addr.ip().to_canonical();
        if addr.is_ipv6() && ip.is_ipv4() && options.only_ipv6() {
            return Err(Errno::EINVAL);
        }
        let local = match ip {
            ip if ip.is_unspecified() && ip.is_ipv4() => Self::Any4,
            ip if ip.is_unspecified() => Self::any(options),
            ip if ip.is_loopback() || options.flag(IPPROTO_IP, IP_FREEBIND) => Self::One(ip),
            _ => return Err(Errno::EADDRNOTAVAIL),
        };
        Ok((local, port))
    }

    /// True if a packet to `ip` is received here.
    pub(super) fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::Any4 => ip.is_ipv4(),
            Self::Any6 => ip.is_ipv6(),
            Self::AnyDual => true,
            Self::One(own) => own == ip,
        }
    }

    /// True if there is an address that both receive at.
    pub(super) fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(ip), any) | (any, Self::One(ip)) => any.has(ip),
            (Self::Any4, Self::Any6) | (Self::Any6, Self::Any4) => false,
            _ => true,
        }
    }

    /// How exactly it is chosen: of those that match, the highest one receives.
    pub(super) fn precision(self) -> u32 {
        match self {
            Self::AnyDual => 0,
            Self::Any4 | Self::Any6 => 1,
            Self::One(_) => 2,
        }
    }

    /// As getsockname(2) shows it.
    pub(super) fn ip(self, options: &Options) -> IpAddr {
        match self {
            Self::One(ip) => ip,
            _ if options.domain == AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_having_an_address_in_common() {
        let four = Local::One("127.0.0.1".parse().unwrap());
        let six = Local::One("::1".parse().unwrap());
        for (a, b, common) in [
            (Local::Any4, Local::AnyDual, true),
            (Local::Any4, Local::Any6, false),
            (Local::Any6, Local::AnyDual, true),
            (four, Local::Any4, true),
            (four, Local::AnyDual, true),
            (four, Local::Any6, false),
            (six, Local::Any6, true),
            (six, Local::Any4, false),
            (four, six, false),
            (four, four, true),
        ] {
            assert_eq!(a.overlaps(b), common, "{a:?} {b:?}");
            assert_eq!(b.overlaps(a), common, "{b:?} {a:?}");
        }
    }
}
