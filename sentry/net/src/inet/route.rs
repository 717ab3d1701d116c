//! Which addresses there are, and how they are reached: the loopback interface is all there is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::{
    Errno,
    socket::{family::AF_INET, level::SOL_SOCKET, so::SO_BROADCAST},
};

use crate::{Address, address::canonical, options::Options};

/// Where a packet to `addr` goes, as a socket with `options` gives it: in canonical form, with
/// "any" meaning this host (as Linux reads it).
///
/// # Errors
///
/// `EAFNOSUPPORT` for another family, `ENETUNREACH` for what has no route, `EACCES` for a
/// broadcast without `SO_BROADCAST`.
pub(super) fn destination(options: &Options, addr: &Address) -> Result<SocketAddr, Errno> {
    let Address::Inet(given) = *addr else { return Err(Errno::EAFNOSUPPORT) };
    if given.is_ipv4() != (options.domain == AF_INET) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let addr = canonical(given);
    if given.is_ipv6() && addr.is_ipv4() && options.only_ipv6() {
        return Err(Errno::ENETUNREACH);
    }
    let ip = match addr.ip() {
        ip if ip.is_unspecified() => source(ip),
        ip => ip,
    };
    match ip {
        ip if ip.is_loopback() => Ok(SocketAddr::new(ip, addr.port())),
        IpAddr::V4(ip) if ip.is_broadcast() && !options.flag(SOL_SOCKET, SO_BROADCAST) => {
            Err(Errno::EACCES)
        }
        _ => Err(Errno::ENETUNREACH),
    }
}

/// The source address of packets to `destination`.
pub(super) fn source(destination: IpAddr) -> IpAddr {
    match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use abi::socket::{family::AF_INET6, kind::SOCK_DGRAM};

    use super::*;

    fn to(domain: u16, addr: &str) -> Result<String, Errno> {
        let options = Options::new(domain, SOCK_DGRAM, 17);
        destination(&options, &Address::Inet(addr.parse().unwrap())).map(|addr| addr.to_string())
    }

    #[test]
    fn only_this_host_is_reached() {
        assert_eq!(to(AF_INET, "127.9.9.9:5"), Ok("127.9.9.9:5".to_owned()));
        assert_eq!(to(AF_INET, "0.0.0.0:5"), Ok("127.0.0.1:5".to_owned()));
        assert_eq!(to(AF_INET6, "[::]:5"), Ok("[::1]:5".to_owned()));
        assert_eq!(to(AF_INET6, "[::ffff:127.0.0.1]:5"), Ok("127.0.0.1:5".to_owned()));
        assert_eq!(to(AF_INET, "8.8.8.8:53"), Err(Errno::ENETUNREACH));
        assert_eq!(to(AF_INET, "224.0.0.1:53"), Err(Errno::ENETUNREACH));
        assert_eq!(to(AF_INET, "255.255.255.255:53"), Err(Errno::EACCES));
        assert_eq!(to(AF_INET6, "[2001:db8::1]:53"), Err(Errno::ENETUNREACH));
        assert_eq!(to(AF_INET, "[::1]:5"), Err(Errno::EAFNOSUPPORT));
    }
}
