//! The reading side: bytes into values, object numbers into references.

use std::sync::{Arc, Weak};

use crate::image::Section;
use crate::registry::{AnyArc, Type};
use crate::{Error, NESTING, Object, Registry, Result};

/// Where values read themselves from. Nothing in it can be trusted.
pub struct Reader<'a> {
    pub(crate) registry: &'a Registry,
    version: u32,
    left: &'a [u8],
    /// Offset in the image of the end of `left`.
    end: usize,
    depth: u32,
    /// The types of the image, in the order of their numbers.
    pub(crate) types: Vec<&'a Type>,
    /// By number: the objects made so far, and the numbers of their types.
    pub(crate) objects: Vec<Option<(AnyArc, u32)>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(registry: &'a Registry, version: u32) -> Self {
        let (left, end) = (&[][..], 0);
        Self { registry, version, left, end, depth: 0, types: Vec::new(), objects: Vec::new() }
    }

    /// Goes on at the start of a section.
    pub(crate) fn enter(&mut self, section: Section<'a>) {
        (self.left, self.end) = (section.bytes, section.end);
    }

    /// The version of the image, which may be older than the program's.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the loading program has brought along ([`Registry::give`]).
    ///
    /// # Errors
    /// It has brought nothing of this type.
    pub fn given<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        self.registry.given().ok_or_else(|| {
            Error::cannot_load(format!("no {} is given", std::any::type_name::<T>()))
        })
    }

    /// The error for a value that no save writes, at this place.
    #[must_use]
    #[cold]
    pub fn bad(&self, what: &'static str) -> Error {
        Error::damaged(self.end.saturating_sub(self.left.len()), what)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// The image ends here.
    pub fn byte(&mut self) -> Result<u8> {
        let Some((byte, left)) = self.left.split_first() else {
            return Err(self.bad("it ends early"));
        };
        self.left = left;
        Ok(*byte)
    }

    /// Reads an unsigned number.
    ///
    /// # Errors
    /// The image ends early, or the number has more than 64 bits.
    pub fn uint(&mut self) -> Result<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(self.bad("number too large"))
    }

    /// Reads a signed number.
    ///
    /// # Errors
    /// As for [`Reader::uint`].
    pub fn int(&mut self) -> Result<i64> {
        let n = self.uint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// Reads a count of elements. Each takes at least one byte ([`Reader::element`]),
    /// so there are no more of them than bytes left.
    ///
    /// # Errors
    /// The count is larger than that.
    pub fn count(&mut self) -> Result<usize> {
        match usize::try_from(self.uint()?) {
            Ok(count) if count <= self.left.len() => Ok(count),
            _ => Err(self.bad("count beyond the end")),
        }
    }

    /// Reads bytes and how many there are.
    ///
    /// # Errors
    /// The image ends early.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.count()?;
        self.raw(count)
    }

    /// Reads `count` bytes.
    ///
    /// # Errors
    /// The image ends early.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((bytes, left)) = self.left.split_at_checked(count) else {
            return Err(self.bad("it ends early"));
        };
        self.left = left;
        Ok(bytes)
    }

    /// Reads one element of a counted list, see [`crate::Writer::element`].
    ///
    /// # Errors
    /// Those of `load`.
    pub fn element<T>(&mut self, load: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.left.len();
        let value = load(self)?;
        if self.left.len() == before && self.byte()? != 0 {
            return Err(self.bad("padding is not zero"));
        }
        Ok(value)
    }

    /// Reads one level of a value that may hold its own kind.
    ///
    /// # Errors
    /// The value is nested too deeply; those of `load`.
    pub fn nest<T>(&mut self, load: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= NESTING {
            return Err(self.bad("nested too deeply"));
        }
        self.depth += 1;
        let value = load(self);
        self.depth -= 1;
        value
    }

    /// Reads a reference; `None` if it is to an object that is no more.
    ///
    /// # Errors
    /// The object is not made yet, does not exist, or is of another type.
    pub(crate) fn reference<T: Object + ?Sized>(&mut self) -> Result<Option<Arc<T>>> {
        let Some(number) = self.uint()?.checked_sub(1) else { return Ok(None) };
        let slot = usize::try_from(number).ok().and_then(|number| self.objects.get(number));
        let Some(Some((object, kind))) = slot else {
            return Err(self.bad("reference to no object made so far"));
        };
        let view = self.types.get(*kind as usize).and_then(|known| known.view(object));
        match view {
            Some(object) => Ok(Some(object)),
            None => Err(self.bad("reference to an object of another type")),
        }
    }

    /// The object that the save began with.
    pub(crate) fn root<T: Object>(&self) -> Option<Arc<T>> {
        let (object, kind) = self.objects.first()?.as_ref()?;
        self.types.get(*kind as usize)?.view(object)
    }

    /// Makes a weak reference that names nothing.
    ///
    /// # Errors
    /// No type is registered as `T`.
    pub(crate) fn dead_reference<T: Object + ?Sized>(&self) -> Result<Weak<T>> {
        self.registry.dead().ok_or_else(|| self.bad("dead reference to no registered type"))
    }

    /// Reads one object's part, which has its length in front: `load` must use all of it and can't
    /// read beyond it.
    pub(crate) fn part<T>(&mut self, load: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let own = self.bytes()?;
        let (left, end) = (self.left, self.end);
        (self.left, self.end) = (own, end.saturating_sub(left.len()));
        let value = load(self)?;
        self.finish()?;
        (self.left, self.end) = (left, end);
        Ok(value)
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.left.is_empty() { Ok(()) } else { Err(self.bad("bytes left over")) }
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version)
            .field("left", &self.left.len())
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}
