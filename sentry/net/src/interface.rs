//! The loopback interface, and the calls of ioctl(2) about it (netdevice(7)).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use abi::{
    Errno, UserAddr,
    socket::ioctl::{
        SIOCETHTOOL, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFCONF, SIOCGIFDSTADDR, SIOCGIFFLAGS,
        SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMAP, SIOCGIFMETRIC, SIOCGIFMTU, SIOCGIFNAME,
        SIOCGIFNETMASK, SIOCGIFTXQLEN, SIOCSIFADDR, SIOCSIFFLAGS,
    },
};
use vfs::{Ctx, Ioctl};

use crate::Address;

/// Its number.
pub(crate) const INDEX: u32 = 1;
/// Its name.
pub(crate) const NAME: &[u8] = b"lo";
/// Bytes of a packet, at most.
pub(crate) const MTU: u32 = 65_536;
/// Packets that may wait to be sent.
pub(crate) const QUEUE_LEN: u32 = 1000;
/// `IFF_UP`, `IFF_LOOPBACK`, `IFF_RUNNING` (netdevice(7)).
pub(crate) const FLAGS: u32 = 0x1 | 0x8 | 0x40;
/// `ARPHRD_LOOPBACK` (`linux/if_arp.h`).
pub(crate) const HARDWARE_TYPE: u16 = 772;
/// Bits of the network part of 127.0.0.1.
pub(crate) const PREFIX4: u8 = 8;
/// Bits of the network part of `::1`.
pub(crate) const PREFIX6: u8 = 128;
/// Bytes of an interface name (`IFNAMSIZ`).
const NAME_BYTES: usize = 16;
/// Bytes of `struct ifreq`.
const IFREQ_BYTES: usize = 40;

fn address(ip: Ipv4Addr) -> Vec<u8> {
    Address::Inet(SocketAddr::new(IpAddr::V4(ip), 0)).to_bytes()
}

fn padded_name() -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name.iter_mut().zip(NAME).for_each(|(to, from)| *to = *from);
    name
}

/// ioctl(2) on a socket.
///
/// # Errors
///
/// `ENODEV` for another interface, `ENOTTY` for another request.
pub(crate) fn ioctl(cx: &Ctx<'_>, call: &Ioctl<'_>) -> Result<u64, Errno> {
    match call.request {
        SIOCGIFCONF => configuration(call),
        SIOCGIFNAME => {
            let index: u32 = call.mm.read_value(call.addr().wrapping_add(NAME_BYTES as u64))?;
            if index != INDEX {
                return Err(Errno::ENODEV);
            }
            call.mm.write(call.addr(), &padded_name())?;
            Ok(0)
        }
        SIOCSIFFLAGS | SIOCSIFADDR if !cx.creds.has(auth::Capability::NetAdmin) => {
            Err(Errno::EPERM)
        }
        SIOCSIFFLAGS | SIOCSIFADDR | SIOCETHTOOL => {
            named(call)?;
            Err(Errno::EOPNOTSUPP)
        }
        request => {
            let value = value(request).ok_or(Errno::ENOTTY)?;
            named(call)?;
            call.mm.write(call.addr().wrapping_add(NAME_BYTES as u64), &value)?;
            Ok(0)
        }
    }
}

/// Checks that the request names the interface there is.
fn named(call: &Ioctl<'_>) -> Result<(), Errno> {
    let mut name = [0; NAME_BYTES];
    call.mm.read(call.addr(), &mut name)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    if name == NAME { Ok(()) } else { Err(Errno::ENODEV) }
}

/// The answer to a question about the interface.
fn value(request: u32) -> Option<Vec<u8>> {
    Some(match request {
        SIOCGIFFLAGS => FLAGS.to_ne_bytes().get(..2)?.to_vec(),
        SIOCGIFADDR | SIOCGIFDSTADDR => address(Ipv4Addr::LOCALHOST),
        SIOCGIFBRDADDR => address(Ipv4Addr::UNSPECIFIED),
        SIOCGIFNETMASK => address(Ipv4Addr::new(255, 0, 0, 0)),
        SIOCGIFMTU => MTU.to_ne_bytes().to_vec(),
        SIOCGIFMETRIC => 0_u32.to_ne_bytes().to_vec(),
        SIOCGIFINDEX => INDEX.to_ne_bytes().to_vec(),
        SIOCGIFTXQLEN => QUEUE_LEN.to_ne_bytes().to_vec(),
        SIOCGIFMAP => vec![0; IFREQ_BYTES - NAME_BYTES],
        SIOCGIFHWADDR => {
            let mut address = HARDWARE_TYPE.to_ne_bytes().to_vec();
            address.resize(16, 0);
            address
        }
        _ => return None,
    })
}

/// `SIOCGIFCONF`: the interfaces with an IPv4 address.
fn configuration(call: &Ioctl<'_>) -> Result<u64, Errno> {
    let [len, buffer]: [u64; 2] = call.mm.read_value(call.addr())?;
    // The first word has an int and a hole.
    let space = usize::try_from(len & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
    let mut entry = padded_name().to_vec();
    entry.extend(address(Ipv4Addr::LOCALHOST));
    entry.resize(IFREQ_BYTES, 0);
    let buffer = UserAddr::new(buffer);
    if !buffer.is_null() {
        let fits = if space >= entry.len() { entry.len() } else { 0 };
        entry.truncate(fits);
        call.mm.write(buffer, &entry)?;
    }
    let len = u32::try_from(entry.len()).map_err(|_| Errno::EINVAL)?;
    call.mm.write_value(call.addr(), &len)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_fits_into_the_request() {
        for request in 0x8900..0x8980 {
            let len = value(request).map_or(0, |value| value.len());
            assert!(len <= IFREQ_BYTES - NAME_BYTES, "{request:#x}");
        }
        assert_eq!(value(SIOCGIFFLAGS).unwrap(), [0x49, 0]);
        assert_eq!(value(SIOCGIFADDR).unwrap()[4..8], [127, 0, 0, 1]);
    }
}
