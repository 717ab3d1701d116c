//! Variable-length fields: strings, data, and lists measured in bytes.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::{CodecError, Reader, Wire};

/// A string of the protocol: at most 65,535 bytes, of any value.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Str(Vec<u8>);

impl Str {
    /// Makes a string of `bytes`.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if a 16-bit length can't say how many there are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, CodecError> {
        let bytes = bytes.into();
        if bytes.len() > usize::from(u16::MAX) { Err(CodecError::TooLong) } else { Ok(Self(bytes)) }
    }

    /// The bytes themselves.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives up the bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Deref for Str {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Wire for Str {
    const MIN: usize = 2;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        u16::try_from(self.0.len()).map_err(|_| CodecError::TooLong)?.put(out)?;
        out.extend_from_slice(&self.0);
        Ok(())
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u16::get(input)?;
        Ok(Self(input.take(usize::from(len))?.to_vec()))
    }
}

/// Contents of a file: its length has 32 bits on the wire. Debug output is the length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);

impl Deref for Data {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Wire for Data {
    const MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        u32::try_from(self.0.len()).map_err(|_| CodecError::TooLong)?.put(out)?;
        out.extend_from_slice(&self.0);
        Ok(())
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u32::get(input)?;
        let len = usize::try_from(len).map_err(|_| CodecError::Truncated)?;
        Ok(Self(input.take(len)?.to_vec()))
    }
}

/// A list whose length on the wire is a number of bytes (32 bits), as in `Rreaddir`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed<T>(pub Vec<T>);

impl<T> Deref for Packed<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Wire> Wire for Packed<T> {
    const MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut body = Vec::new();
        self.0.iter().try_for_each(|item| item.put(&mut body))?;
        Data(body).put(out)
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = usize::try_from(u32::get(input)?).map_err(|_| CodecError::Truncated)?;
        let mut body = Reader::new(input.take(len)?);
        let mut items = Vec::new();
        while !body.is_empty() {
            items.push(T::get(&mut body)?);
        }
        Ok(Self(items))
    }
}
