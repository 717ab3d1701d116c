//! Copies between application memory and files through a bounded buffer.
//!
//! A copy to or from application memory can take a page fault of the very file that is read or
//! written, so no lock may be held over it: bytes stop over in a buffer of the kernel.

use abi::Errno;
use vfs::{Dst, Src};

/// Size of the buffer: large enough that its cost does not show, small enough that the size
/// which an application asks for does not decide how much memory is taken.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads from `offset` up to `size` by calls of `read_at`, until `dst` is full or it is short.
pub(crate) fn read_chunks(
    dst: &mut dyn Dst,
    mut offset: u64,
    size: u64,
    mut read_at: impl FnMut(u64, &mut [u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut left = left.min(dst.remaining());
    let mut buf = vec![0; left.min(CHUNK_BYTES)];
    let mut done = 0;
    while left > 0 {
        let wanted = left.min(buf.len());
        let piece = buf.get_mut(..wanted).unwrap_or_default();
        let step = read_at(offset, piece).and_then(|got| {
            let bytes = piece.get(..got).unwrap_or_default();
            Ok((got, if got == 0 { 0 } else { dst.put(bytes)? }))
        });
        match step {
            Ok((got, put)) => {
                done += put;
                left -= put;
                offset = offset.saturating_add(put as u64);
                if put < wanted || got < wanted {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `src` from `offset` on by calls of `write_at`, until one is short.
pub(crate) fn write_chunks(
    src: &mut dyn Src,
    mut offset: u64,
    mut write_at: impl FnMut(u64, &[u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut buf = vec![0; src.remaining().min(CHUNK_BYTES)];
    let mut done = 0;
    while src.remaining() > 0 {
        let step = src.take(&mut buf).and_then(|got| {
            let bytes = buf.get(..got).unwrap_or_default();
            Ok((got, if got == 0 { 0 } else { write_at(offset, bytes)? }))
        });
        match step {
            Ok((got, put)) => {
                done += put;
                offset = offset.saturating_add(put as u64);
                if put < got || got == 0 {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfs::{BytesDst, BytesSrc};

    #[test]
    fn a_read_stops_at_the_size_and_at_a_short_piece() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let read_at = |offset: u64, to: &mut [u8]| {
            let rest = &content[usize::try_from(offset).unwrap()..];
            let count = to.len().min(rest.len());
            to[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        let mut space = vec![0; 300_000];
        let count = read_chunks(&mut BytesDst::new(&mut space), 5, 199_000, read_at).unwrap();
        assert_eq!(count, 198_995);
        assert_eq!(space[..count], content[5..199_000]);
        let count = read_chunks(&mut BytesDst::new(&mut space), 5, u64::MAX, read_at).unwrap();
        assert_eq!(count, 199_995);
    }

    #[test]
    fn a_write_that_fails_later_tells_what_was_done() {
        let mut calls = 0;
        let write_at = |_, bytes: &[u8]| {
            calls += 1;
            if calls < 3 { Ok(bytes.len()) } else { Err(Errno::ENOSPC) }
        };
        let bytes = vec![1; 4 * CHUNK_BYTES];
        assert_eq!(write_chunks(&mut BytesSrc(&bytes), 0, write_at), Ok(2 * CHUNK_BYTES));
        assert_eq!(calls, 3);
        let none = write_chunks(&mut BytesSrc(&bytes), 0, |_, _| Err(Errno::ENOSPC));
        assert_eq!(none, Err(Errno::ENOSPC));
    }
}
