//! `Option`, `Box`, arrays, tuples, `PhantomData`.

use std::marker::PhantomData;

use crate::{Load, Reader, Result, Save, Writer, print};

impl<T: Save> Save for Option<T> {
    const PRINT: u64 = print::mix(print::text("option"), T::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        self.is_some().save(w)?;
        self.iter().try_for_each(|value| value.save(w))
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.save_late(w))
    }
}

impl<T: Load> Load for Option<T> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        bool::load(r)?.then(|| T::load(r)).transpose()
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.fill(r))
    }
}

/// A value that may hold its own kind does so through a `Box`: here the print stops
/// (it would have no end) and the depth is counted.
impl<T: Save> Save for Box<T> {
    const PRINT: u64 = print::text("box");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.nest(|w| T::save(self, w))
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        T::save_late(self, w)
    }
}

impl<T: Load> Load for Box<T> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        r.nest(T::load).map(Self::new)
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        T::fill(self, r)
    }
}

/// A list that does not grow has the form of one that does.
impl<T: Save> Save for Box<[T]> {
    const PRINT: u64 = Vec::<T>::PRINT;

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.uint(self.len() as u64);
        T::save_slice(self, w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.save_late(w))
    }
}

impl<T: Load> Load for Box<[T]> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        Vec::load(r).map(Vec::into_boxed_slice)
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.fill(r))
    }
}

impl<T: Save, const N: usize> Save for [T; N] {
    const PRINT: u64 = print::mix(print::mix(print::text("array"), N as u64), T::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        T::save_slice(self, w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.save_late(w))
    }
}

impl<T: Load, const N: usize> Load for [T; N] {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        T::load_many(r, N)?.try_into().map_err(|_| r.bad("array of another length"))
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.fill(r))
    }
}

macro_rules! tuples {
    ($(($($type:ident $index:tt),*))*) => { $(
        impl<$($type: Save),*> Save for ($($type,)*) {
            const PRINT: u64 = {
                let print = print::text("tuple");
                $(let print = print::mix(print, $type::PRINT);)*
                print
            };

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                $(self.$index.save(w)?;)*
                Ok(())
            }

            fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
                $(self.$index.save_late(w)?;)*
                Ok(())
            }
        }

        impl<$($type: Load),*> Load for ($($type,)*) {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                Ok(($($type::load(r)?,)*))
            }

            fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
                $(self.$index.fill(r)?;)*
                Ok(())
            }
        }
    )* };
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

macro_rules! empty {
    ($([$($param:ident)?] $type:ty, $value:expr;)*) => { $(
        impl<$($param: ?Sized)?> Save for $type {
            const PRINT: u64 = print::text("empty");

            fn save(&self, _: &mut Writer<'_>) -> Result<()> {
                Ok(())
            }
        }

        impl<$($param: ?Sized)?> Load for $type {
            fn load(_: &mut Reader<'_>) -> Result<Self> {
                Ok($value)
            }
        }
    )* };
}
empty! {
    [] (), ();
    [T] PhantomData<T>, PhantomData;
}
