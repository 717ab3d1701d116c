//! Types that can't be saved, and say so.

/// Lets types stand behind `Arc<dyn Trait>` although they can't be saved: a save that meets one
/// fails and names it.
///
/// ```
/// struct Camera;
/// state::cannot_save!(Camera);
/// ```
#[macro_export]
macro_rules! cannot_save {
    ($($type:ty),* $(,)?) => { $(
        impl $crate::Save for $type {
            fn save(&self, _: &mut $crate::Writer<'_>) -> $crate::Result<()> {
                Err($crate::Error::cannot_save(::core::any::type_name::<Self>()))
            }
        }

        impl $crate::Load for $type {
            fn load(_: &mut $crate::Reader<'_>) -> $crate::Result<Self> {
                Err($crate::Error::cannot_load(::core::any::type_name::<Self>()))
            }
        }

        impl $crate::Schema for $type {
            const NAME: &'static str = stringify!($type);
        }
    )* };
}
