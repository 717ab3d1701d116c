//! Addresses in application memory.

use abi::{Errno, UserAddr, socket::SOCKADDR_MAX_BYTES};
use kernel::Cx;
use net::Address;

/// Copies an address of `len` bytes.
///
/// # Errors
///
/// `EINVAL` for a bad length, `EFAULT`.
pub(super) fn read_address(cx: &Cx<'_>, addr: UserAddr, len: u32) -> Result<Address, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > SOCKADDR_MAX_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; SOCKADDR_MAX_BYTES];
    let bytes = bytes.get_mut(..len).unwrap_or_default();
    cx.mm.read(addr, bytes)?;
    Address::parse(bytes)
}

/// Stores an address as far as the space goes that the word at `len_addr` tells; the word gets
/// the whole length (accept(2)).
///
/// # Errors
///
/// `EINVAL` for a negative space, `EFAULT`.
pub(super) fn write_address(
    cx: &Cx<'_>,
    address: &Address,
    addr: UserAddr,
    len_addr: UserAddr,
) -> Result<(), Errno> {
    let space: i32 = cx.mm.read_value(len_addr)?;
    let len = store(cx, address, addr, space)?;
    cx.mm.write_value(len_addr, &len)
}

/// Stores an address as far as there is space; returns its whole length.
pub(super) fn store(
    cx: &Cx<'_>,
    address: &Address,
    addr: UserAddr,
    space: i32,
) -> Result<u32, Errno> {
    let space = usize::try_from(space).map_err(|_| Errno::EINVAL)?;
    let bytes = address.to_bytes();
    let fits = bytes.get(..space).unwrap_or(&bytes);
    cx.mm.write(addr, fits)?;
    u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)
}
