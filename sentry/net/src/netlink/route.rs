//! Answers about the loopback interface (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::{
    Errno,
    socket::family::{AF_INET, AF_INET6, AF_UNSPEC},
};

use super::message::{
    Builder, Header, NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    Request,
};
use crate::interface;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;

const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_QDISC: u16 = 6;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKMODE: u16 = 17;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_FLAGS: u16 = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;

/// `IFA_F_PERMANENT`.
const PERMANENT: u8 = 0x80;
/// `RT_SCOPE_HOST`.
const SCOPE_HOST: u8 = 254;
/// `RT_TABLE_LOCAL`.
const TABLE_LOCAL: u8 = 255;
/// `RTPROT_KERNEL`.
const BY_KERNEL: u8 = 2;
/// `RTN_LOCAL`.
const LOCAL: u8 = 2;
/// `IF_OPER_UNKNOWN`, which is what the loopback interface is in.
const OPER_UNKNOWN: u8 = 0;

/// The messages that answer `request` of the socket with number `port`.
pub(super) fn answer(request: Request<'_>, port: u32) -> Vec<Vec<u8>> {
    let header = Header { port, ..request.header };
    if header.flags & NLM_F_REQUEST == 0 || header.kind < RTM_NEWLINK {
        return Vec::new();
    }
    let family = u16::from(request.body.first().copied().unwrap_or(0));
    let dump = header.flags & NLM_F_DUMP != 0;
    let found = match header.kind {
        RTM_GETLINK if dump => Ok(vec![link(header)]),
        RTM_GETLINK => one_link(header, request.body).map(|link| vec![link]),
        RTM_GETADDR if dump => Ok(addresses(header, family)),
        RTM_GETROUTE if dump => Ok(routes(header, family)),
        RTM_GETNEIGH | RTM_GETRULE if dump => Ok(Vec::new()),
        RTM_GETROUTE => one_route(header, &request).map(|route| vec![route]),
        // The others change something, which nobody can here.
        _ => Err(Errno::EOPNOTSUPP),
    };
    match found {
        Ok(mut messages) if dump => {
            let done = Header { kind: NLMSG_DONE, flags: NLM_F_MULTI, ..header };
            messages.push(Builder::new(done).body(&0_u32.to_ne_bytes()).finish());
            messages
        }
        Ok(mut messages) => {
            if header.flags & NLM_F_ACK != 0 {
                messages.push(result(header, request.header_bytes, None));
            }
            messages
        }
        Err(error) => vec![result(header, request.header_bytes, Some(error))],
    }
}

/// `NLMSG_ERROR`: an error, or the acknowledgement.
pub(super) fn result(header: Header, request: &[u8], error: Option<Errno>) -> Vec<u8> {
    let number = error.map_or(0, |error| -i32::from(error.raw()));
    let header = Header { kind: NLMSG_ERROR, flags: 0, ..header };
    Builder::new(header).body(&number.to_ne_bytes()).body(request).finish()
}

fn of(header: Header, kind: u16) -> Header {
    let multi = if header.flags & NLM_F_DUMP != 0 { NLM_F_MULTI } else { 0 };
    Header { kind, flags: multi, ..header }
}

fn link(header: Header) -> Vec<u8> {
    // struct ifinfomsg
    let mut body = vec![0, 0];
    body.extend(interface::HARDWARE_TYPE.to_ne_bytes());
    body.extend(interface::INDEX.to_ne_bytes());
    // IFF_LOWER_UP is seen only here.
    body.extend((interface::FLAGS | 0x1_0000).to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    Builder::new(of(header, RTM_NEWLINK))
        .body(&body)
        .attribute(IFLA_IFNAME, &[interface::NAME, &[0]].concat())
        .attribute(IFLA_TXQLEN, &interface::QUEUE_LEN.to_ne_bytes())
        .attribute(IFLA_OPERSTATE, &[OPER_UNKNOWN])
        .attribute(IFLA_LINKMODE, &[0])
        .attribute(IFLA_MTU, &interface::MTU.to_ne_bytes())
        .attribute(IFLA_QDISC, b"noqueue\0")
        .attribute(IFLA_ADDRESS, &[0; 6])
        .attribute(IFLA_BROADCAST, &[0; 6])
        .finish()
}

/// The interface that a request names by number, or by name.
fn one_link(header: Header, body: &[u8]) -> Result<Vec<u8>, Errno> {
    const IFINFO_BYTES: usize = 16;
    let index = body.get(4..8).and_then(<[u8]>::first_chunk).ok_or(Errno::EINVAL)?;
    let name = attribute(body.get(IFINFO_BYTES..).unwrap_or_default(), IFLA_IFNAME);
    let named = |name: &[u8]| name.split(|byte| *byte == 0).next() == Some(interface::NAME);
    match (u32::from_ne_bytes(*index), name) {
        (interface::INDEX, _) => Ok(link(header)),
        (0, Some(name)) if named(name) => Ok(link(header)),
        (0, None) => Err(Errno::EINVAL),
        _ => Err(Errno::ENODEV),
    }
}

/// The first attribute of this kind.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let this = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..len)?;
        if this == kind {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family_of(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { AF_INET } else { AF_INET6 }).to_le_bytes()[0]
}

const ADDRESSES: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::LOCALHOST), interface::PREFIX4),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), interface::PREFIX6),
];

fn is_of(family: u16, ip: IpAddr) -> bool {
    family == AF_UNSPEC || family == u16::from(family_of(ip))
}

fn addresses(header: Header, family: u16) -> Vec<Vec<u8>> {
    let wanted = ADDRESSES.into_iter().filter(|(ip, _)| is_of(family, *ip));
    wanted.map(|(ip, prefix)| address(header, ip, prefix)).collect()
}

fn address(header: Header, ip: IpAddr, prefix: u8) -> Vec<u8> {
    // struct ifaddrmsg
    let mut body = vec![family_of(ip), prefix, PERMANENT, SCOPE_HOST];
    body.extend(interface::INDEX.to_ne_bytes());
    let mut message =
        Builder::new(of(header, RTM_NEWADDR)).body(&body).attribute(IFA_ADDRESS, &octets(ip));
    if ip.is_ipv4() {
        message = message
            .attribute(IFA_LOCAL, &octets(ip))
            .attribute(IFA_LABEL, &[interface::NAME, &[0]].concat());
    }
    message.attribute(IFA_FLAGS, &u32::from(PERMANENT).to_ne_bytes()).finish()
}

fn routes(header: Header, family: u16) -> Vec<Vec<u8>> {
    let wanted = ADDRESSES.into_iter().filter(|(ip, _)| is_of(family, *ip));
    wanted.map(|(ip, prefix)| route(header, network(ip), prefix)).collect()
}

/// Where the packets to an address go.
fn one_route(header: Header, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    const RTMSG_BYTES: usize = 12;
    let attributes = request.body.get(RTMSG_BYTES..).ok_or(Errno::EINVAL)?;
    let to = attribute(attributes, RTA_DST).ok_or(Errno::EINVAL)?;
    let ip = match (request.body.first(), to) {
        (Some(2), [a, b, c, d]) => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)),
        (Some(10), bytes) => {
            let octets: [u8; 16] = bytes.try_into().map_err(|_| Errno::EINVAL)?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return Err(Errno::EINVAL),
    };
    if !ip.is_loopback() {
        return Err(Errno::ENETUNREACH);
    }
    Ok(route(header, ip, if ip.is_ipv4() { 32 } else { 128 }))
}

fn network(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)) } else { ip }
}

fn route(header: Header, to: IpAddr, prefix: u8) -> Vec<u8> {
    // struct rtmsg
    let mut body = vec![family_of(to), prefix, 0, 0, TABLE_LOCAL, BY_KERNEL, SCOPE_HOST, LOCAL];
    body.extend(0_u32.to_ne_bytes());
    let source = ADDRESSES.into_iter().find(|(ip, _)| ip.is_ipv4() == to.is_ipv4());
    let mut message = Builder::new(of(header, RTM_NEWROUTE))
        .body(&body)
        .attribute(RTA_TABLE, &u32::from(TABLE_LOCAL).to_ne_bytes())
        .attribute(RTA_DST, &octets(to))
        .attribute(RTA_OIF, &interface::INDEX.to_ne_bytes());
    if let Some((ip, _)) = source {
        message = message.attribute(RTA_PREFSRC, &octets(ip));
    }
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::split;

    fn ask(kind: u16, flags: u16, body: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let header = Header { kind, flags: flags | NLM_F_REQUEST, sequence: 5, port: 0 };
        let bytes = Builder::new(header).body(body).finish();
        let (request, _) = split(&bytes).unwrap();
        let split_one = |message: &Vec<u8>| {
            let (answer, rest) = split(message).unwrap();
            assert!(rest.is_empty());
            assert_eq!((answer.header.sequence, answer.header.port), (5, 99));
            (answer.header.kind, answer.body.to_vec())
        };
        answer(request, 99).iter().map(split_one).collect()
    }

    #[test]
    fn dumps_tell_of_the_loopback_and_end() {
        let kinds = |answers: &[(u16, Vec<u8>)]| answers.iter().map(|a| a.0).collect::<Vec<_>>();
        let links = ask(RTM_GETLINK, NLM_F_DUMP, &[0; 16]);
        assert_eq!(kinds(&links), [RTM_NEWLINK, NLMSG_DONE]);
        assert_eq!(attribute(&links[0].1[16..], IFLA_IFNAME), Some(&b"lo\0"[..]));
        let addresses = ask(RTM_GETADDR, NLM_F_DUMP, &[0; 8]);
        assert_eq!(kinds(&addresses), [RTM_NEWADDR, RTM_NEWADDR, NLMSG_DONE]);
        assert_eq!(attribute(&addresses[0].1[8..], IFA_LOCAL), Some(&[127, 0, 0, 1][..]));
        let six = ask(RTM_GETADDR, NLM_F_DUMP, &[10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(kinds(&six), [RTM_NEWADDR, NLMSG_DONE]);
        let routes = ask(RTM_GETROUTE, NLM_F_DUMP, &[2; 12]);
        assert_eq!(kinds(&routes), [RTM_NEWROUTE, NLMSG_DONE]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let code = |answers: Vec<(u16, Vec<u8>)>| {
            assert_eq!(answers[0].0, NLMSG_ERROR);
            i32::from_ne_bytes(answers[0].1[..4].try_into().unwrap())
        };
        let mut second = [0; 16];
        second[4] = 2;
        assert_eq!(code(ask(RTM_GETLINK, 0, &second)), -19);
        assert_eq!(code(ask(RTM_NEWLINK, 0, &[0; 16])), -95);
        assert_eq!(code(ask(RTM_GETROUTE, 0, &[])), -22);
        let mut outside = vec![2; 12];
        outside.extend([8, 0, 1, 0, 8, 8, 8, 8]);
        assert_eq!(code(ask(RTM_GETROUTE, 0, &outside)), -101);
    }

    #[test]
    fn attributes_that_lie_about_their_length_are_not_found() {
        for len in 0..4_u16 {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend([9, 0, 0, 0]);
            assert_eq!(attribute(&bytes, 3), None);
        }
        assert_eq!(attribute(&[200, 0, 3, 0, 1], 3), None);
    }
}
