//! `String`, lists, sets, maps.
//!
//! Only collections with an order of their own: `fill` visits the elements in the order of
//! `save_late`. So the order of a set or map must not depend on what is behind a lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::{Load, Reader, Result, Save, Writer, print};

/// Text; a shared one (`Arc<str>`) is a value, which comes back unshared.
macro_rules! texts {
    ($($type:ty)*) => { $(
        impl Save for $type {
            const PRINT: u64 = print::text("string");

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                w.bytes(self.as_bytes());
                Ok(())
            }
        }

        impl Load for $type {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                let bytes = r.bytes()?;
                std::str::from_utf8(bytes).map(Self::from).map_err(|_| r.bad("not UTF-8"))
            }
        }
    )* };
}
texts!(String Box<str> Arc<str>);

/// Both lists have one form. `$slices` gives the elements as slices.
macro_rules! lists {
    ($($type:ident, |$list:ident| $slices:expr;)*) => { $(
        impl<T: Save> Save for $type<T> {
            const PRINT: u64 = print::mix(print::text("list"), T::PRINT);

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                w.uint(self.len() as u64);
                let $list = self;
                $slices.into_iter().try_for_each(|slice| T::save_slice(slice, w))
            }

            fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
                self.iter().try_for_each(|value| value.save_late(w))
            }
        }

        impl<T: Load> Load for $type<T> {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                let count = r.count()?;
                T::load_many(r, count).map(Self::from)
            }

            fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
                self.iter().try_for_each(|value| value.fill(r))
            }
        }
    )* };
}
lists! {
    Vec, |list| [list.as_slice()];
    VecDeque, |list| { let (first, second) = list.as_slices(); [first, second] };
}

impl<T: Save> Save for BTreeSet<T> {
    const PRINT: u64 = print::mix(print::text("set"), T::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.uint(self.len() as u64);
        self.iter().try_for_each(|value| w.element(|w| value.save(w)))
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.save_late(w))
    }
}

impl<T: Load + Ord> Load for BTreeSet<T> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let mut all = Self::new();
        for _ in 0..r.count()? {
            if !all.insert(r.element(T::load)?) {
                return Err(r.bad("an element twice"));
            }
        }
        Ok(all)
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.fill(r))
    }
}

impl<K: Save, V: Save> Save for BTreeMap<K, V> {
    const PRINT: u64 = print::mix(print::mix(print::text("map"), K::PRINT), V::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.uint(self.len() as u64);
        self.iter().try_for_each(|(key, value)| {
            w.element(|w| {
                key.save(w)?;
                value.save(w)
            })
        })
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|(key, value)| {
            key.save_late(w)?;
            value.save_late(w)
        })
    }
}

impl<K: Load + Ord, V: Load> Load for BTreeMap<K, V> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let mut all = Self::new();
        for _ in 0..r.count()? {
            let (key, value) = r.element(|r| Ok((K::load(r)?, V::load(r)?)))?;
            if all.insert(key, value).is_some() {
                return Err(r.bad("a key twice"));
            }
        }
        Ok(all)
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.iter().try_for_each(|(key, value)| {
            key.fill(r)?;
            value.fill(r)
        })
    }
}
