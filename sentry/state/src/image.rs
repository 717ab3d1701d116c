//! The frame of an image: magic, version, sections with length and checksum.
//!
//! ```text
//! "RUNSCIMG"  version: u32  3 x { length: u64  crc: u32  bytes }       (little-endian)
//! ```

use crc32fast::Hasher;

use crate::{Cause, Error, Result};

const MAGIC: &[u8; 8] = b"RUNSCIMG";
const HEADER: usize = MAGIC.len() + 4;

/// Types and objects; early parts; late parts.
pub(crate) const SECTIONS: usize = 3;

/// An image taken apart.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(crate) version: u32,
    pub(crate) sections: [Section<'a>; SECTIONS],
}

/// One section, and the offset of its end in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) end: usize,
}

/// Puts an image together.
pub(crate) fn join(version: u32, sections: &[Vec<u8>; SECTIONS]) -> Vec<u8> {
    let total: usize = sections.iter().map(|bytes| bytes.len() + 12).sum();
    let mut image = Vec::with_capacity(HEADER + total);
    image.extend_from_slice(MAGIC);
    image.extend_from_slice(&version.to_le_bytes());
    for (index, bytes) in sections.iter().enumerate() {
        image.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        image.extend_from_slice(&checksum(version, index, bytes).to_le_bytes());
        image.extend_from_slice(bytes);
    }
    image
}

/// Takes an image apart that a program of version `known` is to load.
///
/// # Errors
/// The image is damaged, or newer than the program.
pub(crate) fn split(image: &[u8], known: u32, check: bool) -> Result<Image<'_>> {
    let Some((magic, rest)) = image.split_first_chunk() else {
        return Err(Error::damaged(0, "it ends early"));
    };
    if magic != MAGIC {
        return Err(Error::damaged(0, "it is no image"));
    }
    let mut cursor = Cursor { total: image.len(), left: rest };
    let version = u32::from_le_bytes(cursor.take()?);
    if version > known {
        return Err(Cause::TooNew { found: version, known }.into());
    }
    let empty = Section { bytes: &[], end: 0 };
    let mut sections = [empty; SECTIONS];
    for (index, section) in sections.iter_mut().enumerate() {
        *section = cursor.section(version, index, check)?;
    }
    match cursor.left {
        [] => Ok(Image { version, sections }),
        _ => Err(Error::damaged(cursor.at(), "bytes left over")),
    }
}

struct Cursor<'a> {
    total: usize,
    left: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn at(&self) -> usize {
        self.total - self.left.len()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, left)) = self.left.split_first_chunk() else {
            return Err(Error::damaged(self.at(), "it ends early"));
        };
        self.left = left;
        Ok(*bytes)
    }

    fn section(&mut self, version: u32, index: usize, check: bool) -> Result<Section<'a>> {
        let at = self.at();
        let length = u64::from_le_bytes(self.take()?);
        let crc = u32::from_le_bytes(self.take()?);
        let split = usize::try_from(length).ok().and_then(|n| self.left.split_at_checked(n));
        let Some((bytes, left)) = split else {
            return Err(Error::damaged(at, "section cut off"));
        };
        if check && checksum(version, index, bytes) != crc {
            return Err(Error::damaged(at, "checksum is wrong"));
        }
        self.left = left;
        Ok(Section { bytes, end: self.at() })
    }
}

/// Covers version and place too: a damaged header must not pass for an older image.
fn checksum(version: u32, index: usize, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&(index as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        join(7, &[b"one".to_vec(), Vec::new(), b"three".to_vec()])
    }

    #[test]
    fn sections_come_back_with_their_places() {
        let bytes = image();
        let image = split(&bytes, 7, true).unwrap();
        assert_eq!(image.version, 7);
        assert_eq!(image.sections.map(|s| s.bytes), [&b"one"[..], b"", b"three"]);
        assert_eq!(image.sections[2].end, bytes.len());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for bit in 0..image().len() * 8 {
            let mut bytes = image();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(split(&bytes, u32::MAX, true).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_found() {
        let mut bytes = image();
        for end in 0..bytes.len() {
            assert!(split(&bytes[..end], 7, true).is_err(), "cut at {end}");
        }
        bytes.push(0);
        assert!(split(&bytes, 7, true).is_err());
    }

    #[test]
    fn a_newer_image_is_refused_by_name_of_both_versions() {
        let error = split(&image(), 6, true).unwrap_err();
        assert_eq!(error.cause(), &Cause::TooNew { found: 7, known: 6 });
    }
}
