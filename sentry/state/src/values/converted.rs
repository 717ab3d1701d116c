//! Values that are written as another type.

/// Makes `Copy` types savable as another type, whose print they share: newtypes, flags, …
///
/// Each line gives both types, a function each way, and what is wrong with an image in which the
/// second function (from the other type to an `Option`) finds nothing.
///
/// ```
/// #[derive(Clone, Copy)]
/// struct Flags(u32);
///
/// state::savable_as! {
///     Flags as u32, |flags| flags.0, |bits| (bits < 8).then_some(Flags(bits)), "unknown flags";
/// }
/// ```
#[macro_export]
macro_rules! savable_as {
    ($($type:ty as $other:ty, $save:expr, $load:expr, $wrong:literal;)*) => { $(
        impl $crate::Save for $type {
            const PRINT: u64 = <$other as $crate::Save>::PRINT;

            fn save(&self, w: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                let convert: fn($type) -> $other = $save;
                $crate::Save::save(&convert(*self), w)
            }
        }

        impl $crate::Load for $type {
            fn load(r: &mut $crate::Reader<'_>) -> $crate::Result<Self> {
                let convert: fn($other) -> Option<$type> = $load;
                let other = <$other as $crate::Load>::load(r)?;
                convert(other).ok_or_else(|| r.bad($wrong))
            }
        }
    )* };
}
