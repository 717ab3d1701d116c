//! Atomics are written as the value they hold: everything stands still during a save.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    Ordering,
};

use crate::{Load, Reader, Result, Save, Writer};

macro_rules! atomics {
    ($($type:ty as $value:ty;)*) => { $(
        impl Save for $type {
            const PRINT: u64 = <$value>::PRINT;

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                self.load(Ordering::SeqCst).save(w)
            }
        }

        impl Load for $type {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                <$value>::load(r).map(Self::new)
            }
        }
    )* };
}
atomics! {
    AtomicBool as bool;
    AtomicU8 as u8;
    AtomicU16 as u16;
    AtomicU32 as u32;
    AtomicU64 as u64;
    AtomicUsize as usize;
    AtomicI32 as i32;
    AtomicI64 as i64;
}
