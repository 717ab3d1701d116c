//! Addresses of the standard library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::savable_as;

savable_as! {
    Ipv4Addr as u32, u32::from, |bits| Some(Ipv4Addr::from(bits)), "no address";
    Ipv6Addr as [u8; 16], |addr| addr.octets(), |octets| Some(Ipv6Addr::from(octets)), "no address";
    IpAddr as (Option<Ipv4Addr>, Option<Ipv6Addr>), split, join, "neither IPv4 nor IPv6";
    SocketAddr as (IpAddr, u16, u32, u32), parts, |parts| Some(whole(parts)), "no address";
}

fn split(addr: IpAddr) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    match addr {
        IpAddr::V4(addr) => (Some(addr), None),
        IpAddr::V6(addr) => (None, Some(addr)),
    }
}

fn join(parts: (Option<Ipv4Addr>, Option<Ipv6Addr>)) -> Option<IpAddr> {
    match parts {
        (Some(addr), None) => Some(IpAddr::V4(addr)),
        (None, Some(addr)) => Some(IpAddr::V6(addr)),
        _ => None,
    }
}

fn parts(addr: SocketAddr) -> (IpAddr, u16, u32, u32) {
    match addr {
        SocketAddr::V4(addr) => (IpAddr::V4(*addr.ip()), addr.port(), 0, 0),
        SocketAddr::V6(addr) => {
            (IpAddr::V6(*addr.ip()), addr.port(), addr.flowinfo(), addr.scope_id())
        }
    }
}

fn whole((ip, port, flowinfo, scope): (IpAddr, u16, u32, u32)) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, flowinfo, scope)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%3]:0"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(whole(parts(addr)), addr);
            assert_eq!(join(split(addr.ip())), Some(addr.ip()));
        }
        assert_eq!(join((None, None)), None);
    }
}
