//! Copies between the Sentry and a space, by the space's map: never through the stub.

use abi::UserAddr;
use host::{HostFile, MemoryObject};
use platform::{Backing, Protection};

use crate::shadow::Shadow;

/// Bytes that one step of a copy moves.
const CHUNK: u64 = 1 << 20;

/// [`AddressSpace::copy_in`].
///
/// [`AddressSpace::copy_in`]: platform::AddressSpace::copy_in
pub(crate) fn copy_in(
    memory: &MemoryObject,
    shadow: &Shadow,
    from: UserAddr,
    to: &mut [u8],
) -> usize {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let addr = from.get().wrapping_add(done as u64);
        let Some((backing, left, protection)) = shadow.at(addr) else { break };
        if !protection.read {
            break;
        }
        let len = rest.len().min(usize::try_from(left.min(CHUNK)).unwrap_or(0));
        let Some(chunk) = rest.get_mut(..len) else { break };
        let count = read_backing(memory, &backing, chunk);
        done += count;
        if count < len {
            break;
        }
    }
    done
}

/// [`AddressSpace::copy_out`].
///
/// [`AddressSpace::copy_out`]: platform::AddressSpace::copy_out
pub(crate) fn copy_out(memory: &MemoryObject, shadow: &Shadow, to: UserAddr, from: &[u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
        let addr = to.get().wrapping_add(done as u64);
        let Some((backing, left, protection)) = shadow.at(addr) else { break };
        if !protection.write {
            break;
        }
        let len = rest.len().min(usize::try_from(left.min(CHUNK)).unwrap_or(0));
        let Some(chunk) = rest.get(..len) else { break };
        let count = write_backing(memory, &backing, chunk);
        done += count;
        if count < len {
            break;
        }
    }
    done
}

/// [`AddressSpace::compare_exchange`]. On a file it is not atomic against the application: the
/// word is in no memory of ours.
///
/// [`AddressSpace::compare_exchange`]: platform::AddressSpace::compare_exchange
pub(crate) fn compare_exchange(
    memory: &MemoryObject,
    shadow: &Shadow,
    addr: UserAddr,
    expected: u32,
    new: u32,
) -> Option<u32> {
    let (backing, _, protection) = aligned_word(shadow, addr)?;
    if !protection.write {
        return None;
    }
    if let Backing::Memory { offset } = backing {
        return Some(memory.compare_exchange_u32(offset, expected, new));
    }
    let old = read_word(memory, &backing)?;
    if old == expected && write_backing(memory, &backing, &new.to_le_bytes()) != 4 {
        return None;
    }
    Some(old)
}

/// [`AddressSpace::load`].
///
/// [`AddressSpace::load`]: platform::AddressSpace::load
pub(crate) fn load(memory: &MemoryObject, shadow: &Shadow, addr: UserAddr) -> Option<u32> {
    let (backing, _, protection) = aligned_word(shadow, addr)?;
    match backing {
        _ if !protection.read => None,
        Backing::Memory { offset } => Some(memory.load_u32(offset)),
        Backing::File { .. } => read_word(memory, &backing),
    }
}

fn read_word(memory: &MemoryObject, backing: &Backing) -> Option<u32> {
    let mut word = [0; 4];
    (read_backing(memory, backing, &mut word) == 4).then(|| u32::from_le_bytes(word))
}

fn aligned_word(shadow: &Shadow, addr: UserAddr) -> Option<(Backing, u64, Protection)> {
    if !addr.get().is_multiple_of(4) {
        return None;
    }
    shadow.at(addr.get())
}

fn read_backing(memory: &MemoryObject, backing: &Backing, to: &mut [u8]) -> usize {
    match backing {
        Backing::Memory { offset } => {
            memory.read(*offset, to);
            to.len()
        }
        Backing::File { file, offset } => {
            let len = to.len();
            let reach = reach(file, *offset, len);
            let Some(to) = to.get_mut(..reach) else { return 0 };
            let Ok(done) = file.read_at(to, *offset) else { return 0 };
            // Behind the end, but in its page: zeros, as in the host's mapping.
            if let Some(tail) = to.get_mut(done..) {
                tail.fill(0);
            }
            reach
        }
    }
}

fn write_backing(memory: &MemoryObject, backing: &Backing, from: &[u8]) -> usize {
    match backing {
        Backing::Memory { offset } => {
            memory.write(*offset, from);
            from.len()
        }
        Backing::File { file, offset } => {
            let reach = reach(file, *offset, from.len());
            // A store behind the end must not make the file longer.
            let inside = file.size().unwrap_or(0).saturating_sub(*offset);
            let inside = usize::try_from(inside).unwrap_or(usize::MAX).min(reach);
            let Some(part) = from.get(..inside) else { return 0 };
            match file.write_at(part, *offset) {
                Ok(done) if done == inside => reach,
                Ok(done) => done,
                Err(_) => 0,
            }
        }
    }
}

/// How many of `len` bytes from `offset` lie in pages that the file has.
fn reach(file: &HostFile, offset: u64, len: usize) -> usize {
    let end = file.size().unwrap_or(0).next_multiple_of(abi::PAGE_SIZE);
    usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(len)
}
