//! The traits. `Save`, `Load` and `Schema` come from the derives; `Object` comes by itself.

use std::any::Any;
use std::sync::Arc;

use crate::{Reader, Result, Writer};

/// A value that can be written into an image.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved",
    note = "derive `state::Save` and `state::Load`, or mark the field `#[state(skip)]`"
)]
pub trait Save {
    /// Fingerprint of the value's form, through nested values ([`crate::print`]).
    ///
    /// An implementation by hand gives its own, and another one when its form changes.
    const PRINT: u64 = 0;

    /// Writes the early part: all that is not behind a lock.
    ///
    /// # Errors
    /// What is in the way of a save, see [`crate::Cause::CannotSave`].
    fn save(&self, w: &mut Writer<'_>) -> Result<()>;

    /// Writes the late part: the content of locks.
    ///
    /// # Errors
    /// As for [`Save::save`].
    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        let _ = w;
        Ok(())
    }

    /// Writes the early parts of `all`; bytes do it in one go.
    #[doc(hidden)]
    fn save_slice(all: &[Self], w: &mut Writer<'_>) -> Result<()>
    where
        Self: Sized,
    {
        all.iter().try_for_each(|value| w.element(|w| value.save(w)))
    }
}

/// A value that can be read from an image. The image may be damaged or hostile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be loaded",
    note = "derive `state::Save` and `state::Load`, or mark the field `#[state(skip)]`"
)]
pub trait Load: Sized {
    /// Makes the value out of its early part; locks are left empty.
    ///
    /// # Errors
    /// The image is damaged, or refers to what can't be had here.
    fn load(r: &mut Reader<'_>) -> Result<Self>;

    /// Puts the late part into the locks. All objects exist by now.
    ///
    /// # Errors
    /// As for [`Load::load`].
    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        let _ = r;
        Ok(())
    }

    /// Reads `count` values, which [`Reader::count`] has allowed.
    #[doc(hidden)]
    fn load_many(r: &mut Reader<'_>, count: usize) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(r.element(Self::load)?);
        }
        Ok(all)
    }
}

/// A lock that `#[state(early)]` may stand on: its content is made with its owner,
/// because it has no `Default` to wait with. What it names can't name the owner early.
pub trait Early: Sized {
    /// Writes the early part of the content.
    ///
    /// # Errors
    /// As for [`Save::save`].
    fn save_early(&self, w: &mut Writer<'_>) -> Result<()>;

    /// Makes the lock with its content.
    ///
    /// # Errors
    /// As for [`Load::load`].
    fn load_early(r: &mut Reader<'_>) -> Result<Self>;

    /// Writes the late part of the content.
    ///
    /// # Errors
    /// As for [`Save::save`].
    fn save_rest(&self, w: &mut Writer<'_>) -> Result<()>;

    /// Fills the late part of the content.
    ///
    /// # Errors
    /// As for [`Load::load`].
    fn fill_rest(&self, r: &mut Reader<'_>) -> Result<()>;
}

/// The type as images know it; by `derive(Save)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no object type",
    note = "what lives in an `Arc` derives `state::Save` and `state::Load`"
)]
pub trait Schema {
    /// The type's name in images: the Rust name, or `#[state(name = "…")]`.
    const NAME: &'static str;

    /// Runs when the whole graph is loaded (third pass), for objects only:
    /// rebuilds skipped fields, re-opens resources, checks invariants.
    ///
    /// # Errors
    /// What can't be re-opened or does not hold, see [`crate::Error::cannot_load`].
    fn after_load(&self) -> Result<()> {
        Ok(())
    }
}

/// What may live in an `Arc`. Never implemented by hand; a trait whose objects are
/// saved behind `Arc<dyn Trait>` has it as supertrait.
pub trait Object: Send + Sync + 'static {
    /// The type's name in images.
    fn type_name(&self) -> &'static str;

    /// Writes the early or the late part.
    ///
    /// # Errors
    /// As for [`Save::save`].
    fn save_all(&self, w: &mut Writer<'_>, late: bool) -> Result<()>;

    /// Reads the late part.
    ///
    /// # Errors
    /// As for [`Load::load`].
    fn fill_all(&self, r: &mut Reader<'_>) -> Result<()>;

    /// Runs [`Schema::after_load`].
    ///
    /// # Errors
    /// As for [`Schema::after_load`].
    fn loaded(&self) -> Result<()>;

    /// Forgets the type.
    fn erase(self: Arc<Self>) -> Arc<dyn Object>;

    /// Forgets the type; `downcast` brings it back.
    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Save + Load + Schema + Send + Sync + 'static> Object for T {
    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn save_all(&self, w: &mut Writer<'_>, late: bool) -> Result<()> {
        if late { self.save_late(w) } else { self.save(w) }
    }

    fn fill_all(&self, r: &mut Reader<'_>) -> Result<()> {
        self.fill(r)
    }

    fn loaded(&self) -> Result<()> {
        self.after_load()
    }

    fn erase(self: Arc<Self>) -> Arc<dyn Object> {
        self
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
