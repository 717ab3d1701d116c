//! Numbers, `bool`, `char`, `Duration`.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::{Load, Reader, Result, Save, Writer, print, savable_as};

/// A byte is written as it is, so that buffers are copied in one go.
impl Save for u8 {
    const PRINT: u64 = print::text("u8");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.byte(*self);
        Ok(())
    }

    fn save_slice(all: &[Self], w: &mut Writer<'_>) -> Result<()> {
        w.raw(all);
        Ok(())
    }
}

impl Load for u8 {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        r.byte()
    }

    fn load_many(r: &mut Reader<'_>, count: usize) -> Result<Vec<Self>> {
        Ok(r.raw(count)?.to_vec())
    }
}

/// Written as `$wide` by the method `$method`. All widths share a print: a wider type reads
/// what a narrower one wrote.
macro_rules! numbers {
    ($method:ident $wide:ident: $($type:ty)*) => { $(
        impl Save for $type {
            const PRINT: u64 = print::text(stringify!($method));

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                w.$method(*self as $wide);
                Ok(())
            }
        }

        impl Load for $type {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                let n = r.$method()?;
                Self::try_from(n).map_err(|_| r.bad("number too large"))
            }
        }
    )* };
}
numbers!(uint u64: u16 u32 u64 usize);
numbers!(int i64: i8 i16 i32 i64 isize);

savable_as! {
    char as u32, u32::from, char::from_u32, "not a character";
    NonZeroU32 as u32, NonZeroU32::get, NonZeroU32::new, "zero";
    NonZeroU64 as u64, NonZeroU64::get, NonZeroU64::new, "zero";
    Duration as (u64, u32), |d| (d.as_secs(), d.subsec_nanos()), duration, "too many nanoseconds";
}

/// `Duration::new` would carry, and may overflow.
fn duration((seconds, nanos): (u64, u32)) -> Option<Duration> {
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

impl Save for bool {
    const PRINT: u64 = print::text("bool");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.byte(u8::from(*self));
        Ok(())
    }
}

impl Load for bool {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        match r.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(r.bad("neither false nor true")),
        }
    }
}
