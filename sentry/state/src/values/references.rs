//! `Arc` and `Weak`: references to objects, which are written elsewhere.

use std::sync::{Arc, Weak};

use crate::{Load, Object, Reader, Result, Save, Writer, print};

/// The print does not go through a reference: objects have prints of their own, and may form cycles.
impl<T: Object + ?Sized> Save for Arc<T> {
    const PRINT: u64 = print::text("arc");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.reference(self)
    }
}

impl<T: Object + ?Sized> Load for Arc<T> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        r.reference()?.ok_or_else(|| r.bad("null reference"))
    }
}

/// What is held only by `Weak` is saved, loaded, and dropped when the load is over.
impl<T: Object + ?Sized> Save for Weak<T> {
    const PRINT: u64 = print::text("weak");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        match self.upgrade() {
            Some(object) => w.reference(&object),
            None => w.dead_reference::<T>(),
        }
    }
}

impl<T: Object + ?Sized> Load for Weak<T> {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        match r.reference()? {
            Some(object) => Ok(Arc::downgrade(&object)),
            None => r.dead_reference(),
        }
    }
}
