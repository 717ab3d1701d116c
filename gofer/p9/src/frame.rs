//! The seven bytes that start each message.

use alloc::vec::Vec;

use crate::wire::wire_struct;
use crate::{CodecError, Reader, Wire};

/// Length of a header.
pub const HEADER: usize = Header::MIN;

wire_struct! {
    /// The start of a frame.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    Header {
        /// Length of the frame, these four bytes included.
        size: u32,
        /// Type number of the message.
        kind: u8,
        /// Joins an answer to its question.
        tag: u16,
    }
}

impl Header {
    /// Reads the header of a whole frame.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] if there is none.
    pub fn of(frame: &[u8]) -> Result<Self, CodecError> {
        Self::get(&mut Reader::new(frame))
    }
}

/// Tells the length of the frame that starts with `front`, or `None` if `front` is too short to say.
///
/// # Errors
/// [`CodecError::BadSize`] if the frame would be shorter than a header or longer than `msize`: the
/// stream can't be followed any more.
pub fn frame_size(front: &[u8], msize: u32) -> Result<Option<usize>, CodecError> {
    let Ok(size) = u32::get(&mut Reader::new(front)) else { return Ok(None) };
    match usize::try_from(size) {
        Ok(len) if len >= HEADER && size <= msize => Ok(Some(len)),
        _ => Err(CodecError::BadSize),
    }
}

/// Appends a frame whose fields `body` writes; on failure `out` is as before.
pub(crate) fn write(
    kind: u8,
    tag: u16,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let start = out.len();
    let written = Header { size: 0, kind, tag }.put(out).and_then(|()| body(out));
    let size = u32::try_from(out.len() - start).map_err(|_| CodecError::TooLong);
    match (written.and(size), out.get_mut(start..start + 4)) {
        (Ok(size), Some(field)) => {
            field.copy_from_slice(&size.to_le_bytes());
            Ok(())
        }
        (result, _) => {
            out.truncate(start);
            result.and(Err(CodecError::Truncated))
        }
    }
}

/// Splits a whole frame into its header and its fields.
pub(crate) fn read(frame: &[u8]) -> Result<(Header, Reader<'_>), CodecError> {
    let mut input = Reader::new(frame);
    let header = Header::get(&mut input)?;
    if usize::try_from(header.size) != Ok(frame.len()) {
        return Err(CodecError::BadSize);
    }
    Ok((header, input))
}
