//! Control messages (cmsg(3)).

use std::{net::IpAddr, sync::Arc};

use abi::{
    Errno, UserAddr,
    socket::{
        CMSGHDR_BYTES, Ucred, cmsg_align,
        ip::{IP_PKTINFO, IP_TOS, IP_TTL},
        ipv6::{IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_TCLASS},
        level::SOL_SOCKET,
        protocol::{IPPROTO_IP, IPPROTO_IPV6},
        scm::{SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS},
    },
};
use kernel::Cx;
use net::{Control, Outgoing, PacketInfo, check_credentials};
use vfs::OpenFile;

/// Longest control data that is sent (`/proc/sys/net/core/optmem_max`).
const SENT_MAX_BYTES: u64 = 20_480;
/// Longest control data that is received: all there can be fits.
const RECEIVED_MAX_BYTES: u64 = 65_536;

/// Reads what is to be sent along.
///
/// # Errors
///
/// `ENOBUFS` if it is too long, `EINVAL` for a bad or unknown message, `EBADF`, `EPERM`.
pub(super) fn read_control(
    cx: &Cx<'_>,
    addr: UserAddr,
    len: u64,
    out: &mut Outgoing,
) -> Result<(), Errno> {
    if len > SENT_MAX_BYTES {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Errno::ENOBUFS)?];
    cx.mm.read(addr, &mut bytes)?;
    let mut rest = bytes.as_slice();
    while let Some((level, kind, data, len)) = split(rest)? {
        match (level, kind) {
            (SOL_SOCKET, SCM_RIGHTS) => read_rights(cx, data, &mut out.rights)?,
            (SOL_SOCKET, SCM_CREDENTIALS) => out.credentials = Some(read_credentials(cx, data)?),
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            (IPPROTO_IP, IP_TTL) => out.ttl = Some(read_int(data, 1)?),
            (IPPROTO_IP, IP_TOS) => out.tos = Some(read_int(data, 0)?),
            (IPPROTO_IPV6, IPV6_HOPLIMIT) => out.ttl = Some(read_int(data, -1)?),
            (IPPROTO_IPV6, IPV6_TCLASS) => out.tos = Some(read_int(data, -1)?),
            // What else a protocol may be told of one packet changes nothing on the loopback.
            _ => {}
        }
        rest = rest.get(cmsg_align(len)..).unwrap_or_default();
    }
    Ok(())
}

/// Level, type and data of a control message, and its whole length.
type Cmsg<'a> = (i32, i32, &'a [u8], usize);

/// The first message; `None` at the end.
fn split(bytes: &[u8]) -> Result<Option<Cmsg<'_>>, Errno> {
    let Some(header) = bytes.get(..CMSGHDR_BYTES) else { return Ok(None) };
    let [a, b] = header.as_chunks::<8>().0 else { return Ok(None) };
    let len = usize::try_from(u64::from_ne_bytes(*a)).map_err(|_| Errno::EINVAL)?;
    let words = u64::from_ne_bytes(*b).to_ne_bytes();
    let ([level, kind], _) = words.as_chunks::<4>() else { return Ok(None) };
    let data = bytes.get(CMSGHDR_BYTES..len).ok_or(Errno::EINVAL)?;
    Ok(Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data, len)))
}

/// An int from `least` to 255.
fn read_int(data: &[u8], least: i32) -> Result<i32, Errno> {
    let value = i32::from_ne_bytes(data.try_into().map_err(|_| Errno::EINVAL)?);
    if (least..=255).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

fn read_rights(cx: &Cx<'_>, data: &[u8], rights: &mut Vec<Arc<OpenFile>>) -> Result<(), Errno> {
    let (numbers, _) = data.as_chunks::<4>();
    if rights.len() + numbers.len() > SCM_MAX_FD {
        return Err(Errno::EINVAL);
    }
    for number in numbers {
        rights.push(cx.files.get(i32::from_ne_bytes(*number))?);
    }
    Ok(())
}

fn read_credentials(cx: &Cx<'_>, data: &[u8]) -> Result<Ucred, Errno> {
    let ([pid, uid, gid], []) = data.as_chunks::<4>() else { return Err(Errno::EINVAL) };
    let [pid, uid, gid] = [pid, uid, gid].map(|word| u32::from_ne_bytes(*word));
    let claimed = Ucred { pid, uid, gid };
    let env = cx.env();
    check_credentials(&env.ctx(), &claimed)?;
    Ok(claimed)
}

/// Lays out control messages in the space that a receiver gives.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    space: usize,
    /// Not all of it fitted (`MSG_CTRUNC`).
    pub(super) truncated: bool,
}

impl Writer {
    pub(super) fn new(space: u64) -> Self {
        let space = usize::try_from(space.min(RECEIVED_MAX_BYTES)).unwrap_or(0);
        Self { bytes: Vec::new(), space, truncated: false }
    }

    /// Room for data of one more message.
    fn room(&self) -> usize {
        self.space.saturating_sub(self.bytes.len()).saturating_sub(CMSGHDR_BYTES)
    }

    fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        if self.space.saturating_sub(self.bytes.len()) < CMSGHDR_BYTES {
            self.truncated = true;
            return;
        }
        let fits = data.get(..self.room()).unwrap_or(data);
        self.truncated |= fits.len() < data.len();
        let len = (CMSGHDR_BYTES + fits.len()) as u64;
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(level.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(fits);
        let end = cmsg_align(self.bytes.len()).min(self.space);
        self.bytes.resize(end, 0);
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Lays out what was received. Descriptors that fit are installed; the others are closed.
/// Returns the numbers of those, for a caller that has to take them back.
pub(super) fn write_control(
    cx: &Cx<'_>,
    writer: &mut Writer,
    control: Control,
    close_on_exec: bool,
) -> Vec<i32> {
    if let Some(Ucred { pid, uid, gid }) = control.credentials {
        let bytes: Vec<u8> = [pid, uid, gid].iter().flat_map(|word| word.to_ne_bytes()).collect();
        writer.put(SOL_SOCKET, SCM_CREDENTIALS, &bytes);
    }
    if let Some(info) = control.packet_info {
        put_packet_info(writer, info);
    }
    let is_v6 = control.is_ipv6;
    if let Some(ttl) = control.ttl {
        let (level, kind) =
            if is_v6 { (IPPROTO_IPV6, IPV6_HOPLIMIT) } else { (IPPROTO_IP, IP_TTL) };
        writer.put(level, kind, &ttl.to_ne_bytes());
    }
    if let Some(tos) = control.tos {
        if is_v6 {
            writer.put(IPPROTO_IPV6, IPV6_TCLASS, &tos.to_ne_bytes());
        } else {
            // ip(7): a single byte.
            writer.put(IPPROTO_IP, IP_TOS, tos.to_le_bytes().get(..1).unwrap_or_default());
        }
    }
    put_rights(cx, writer, control.rights, close_on_exec)
}

/// `struct in_pktinfo` or `struct in6_pktinfo`.
fn put_packet_info(writer: &mut Writer, info: PacketInfo) {
    let index = info.interface.to_ne_bytes();
    match info.to {
        IpAddr::V4(ip) => {
            let bytes = [index, ip.octets(), ip.octets()].concat();
            writer.put(IPPROTO_IP, IP_PKTINFO, &bytes);
        }
        IpAddr::V6(ip) => {
            let mut bytes = ip.octets().to_vec();
            bytes.extend(index);
            writer.put(IPPROTO_IPV6, IPV6_PKTINFO, &bytes);
        }
    }
}

fn put_rights(
    cx: &Cx<'_>,
    writer: &mut Writer,
    rights: Vec<Arc<OpenFile>>,
    close_on_exec: bool,
) -> Vec<i32> {
    let most = writer.room() / size_of::<i32>();
    let mut numbers = Vec::new();
    let env = cx.env();
    for file in rights {
        if numbers.len() < most
            && !writer.truncated
            && let Ok(fd) = cx.install(file.clone(), close_on_exec)
        {
            numbers.push(fd);
        } else {
            writer.truncated = true;
        }
        // The one that it had in flight: the descriptor has its own.
        file.remove_user(&env.ctx());
    }
    if !numbers.is_empty() {
        let bytes: Vec<u8> = numbers.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        writer.put(SOL_SOCKET, SCM_RIGHTS, &bytes);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new(100);
        writer.put(SOL_SOCKET, SCM_CREDENTIALS, &[1; 12]);
        writer.put(IPPROTO_IP, IP_TTL, &[2; 4]);
        assert!(!writer.truncated);
        let (level, kind, data, len) = split(writer.bytes()).unwrap().unwrap();
        assert_eq!((level, kind, data, len), (SOL_SOCKET, SCM_CREDENTIALS, &[1; 12][..], 28));
        let (level, kind, data, _) = split(&writer.bytes()[cmsg_align(len)..]).unwrap().unwrap();
        assert_eq!((level, kind, data), (IPPROTO_IP, IP_TTL, &[2; 4][..]));
    }

    #[test]
    fn nothing_is_written_beyond_the_space() {
        for space in 0..80 {
            let mut writer = Writer::new(space);
            writer.put(SOL_SOCKET, SCM_CREDENTIALS, &[1; 12]);
            writer.put(SOL_SOCKET, SCM_CREDENTIALS, &[1; 12]);
            assert!(writer.bytes().len() as u64 <= space);
            assert_eq!(writer.truncated, space < 60, "{space}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for len in [0_u64, 15, 17, u64::MAX] {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend([1, 0, 0, 0, 1, 0, 0, 0]);
            assert_eq!(split(&bytes), Err(Errno::EINVAL), "{len}");
        }
        assert_eq!(split(&[0; 15]), Ok(None));
    }
}
