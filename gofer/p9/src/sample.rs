//! Messages made of random numbers, for the tests: every type that has a wire form has a sample.

use alloc::vec::Vec;

use crate::{Data, Packed, Str};

/// Random numbers (a splitmix64 sequence: good enough to fill fields).
#[derive(Debug)]
pub(crate) struct Bits(pub(crate) u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A length: mostly short, sometimes longer than a byte can say.
    fn len(&mut self) -> usize {
        let wide = self.next().is_multiple_of(16);
        usize::try_from(self.next() % if wide { 600 } else { 8 }).unwrap_or(0)
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.len()).map(|_| make(self)).collect()
    }
}

/// A type with random values.
pub(crate) trait Sample {
    fn sample(from: &mut Bits) -> Self;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Sample for $ty {
            fn sample(from: &mut Bits) -> Self {
                let bytes = from.next().to_le_bytes();
                <$ty>::from_le_bytes(*bytes.first_chunk().unwrap())
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i64);

impl Sample for bool {
    fn sample(from: &mut Bits) -> Self {
        from.next() & 1 == 1
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(from: &mut Bits) -> Self {
        bool::sample(from).then(|| T::sample(from))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(from: &mut Bits) -> Self {
        from.list(T::sample)
    }
}

impl<T: Sample> Sample for Packed<T> {
    fn sample(from: &mut Bits) -> Self {
        Self(from.list(T::sample))
    }
}

impl Sample for Data {
    fn sample(from: &mut Bits) -> Self {
        Self(from.list(u8::sample))
    }
}

/// Letters only, so that a peer that wants UTF-8 without NUL takes them too.
impl Sample for Str {
    fn sample(from: &mut Bits) -> Self {
        Self::new(from.list(|from| b'a' + u8::sample(from) % 26)).unwrap()
    }
}
