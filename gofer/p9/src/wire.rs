//! How a value stands in a frame.

use alloc::vec::Vec;

use crate::CodecError;

/// A value with a form on the wire.
pub trait Wire: Sized {
    /// Fewest bytes that a value takes: bounds the room reserved for a list of them.
    const MIN: usize;

    /// Appends the value to `out`.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if a length field can't hold a length.
    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Takes a value from the front of `input`.
    ///
    /// # Errors
    /// Any [`CodecError`] that says why there is none.
    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// The part of a frame not read yet.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts reading at the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// True if nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] if fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (front, rest) = self.0.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*front)
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Wire for $ty {
            const MIN: usize = size_of::<$ty>();

            fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
                out.extend_from_slice(&self.to_le_bytes());
                Ok(())
            }

            fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
                Ok(<$ty>::from_le_bytes(input.array()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i64);

impl Wire for bool {
    const MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        u8::from(*self).put(out)
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::get(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::BadFlag),
        }
    }
}

/// A flag byte, and the value if it is 1 (the extension only).
impl<T: Wire> Wire for Option<T> {
    const MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.is_some().put(out)?;
        self.as_ref().map_or(Ok(()), |value| value.put(out))
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        if bool::get(input)? { T::get(input).map(Some) } else { Ok(None) }
    }
}

/// A 16-bit count and the items.
impl<T: Wire> Wire for Vec<T> {
    const MIN: usize = 2;

    fn put(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        u16::try_from(self.len()).map_err(|_| CodecError::TooLong)?.put(out)?;
        self.iter().try_for_each(|item| item.put(out))
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = usize::from(u16::get(input)?);
        // A count that the rest of the frame can't hold must not reserve memory.
        if count.saturating_mul(T::MIN) > input.len() {
            return Err(CodecError::Truncated);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::get(input)?);
        }
        Ok(items)
    }
}

/// Gives a struct its wire form: the fields in order.
macro_rules! wire_struct {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }

        impl $crate::Wire for $name {
            const MIN: usize = 0 $(+ <$ty as $crate::Wire>::MIN)*;

            fn put(&self, _out: &mut alloc::vec::Vec<u8>) -> Result<(), $crate::CodecError> {
                $($crate::Wire::put(&self.$field, _out)?;)*
                Ok(())
            }

            fn get(_input: &mut $crate::Reader<'_>) -> Result<Self, $crate::CodecError> {
                Ok(Self { $($field: $crate::Wire::get(_input)?),* })
            }
        }

        #[cfg(test)]
        impl $crate::sample::Sample for $name {
            fn sample(_from: &mut $crate::sample::Bits) -> Self {
                Self { $($field: $crate::sample::Sample::sample(_from)),* }
            }
        }
    };
}
pub(crate) use wire_struct;
