//! The writing side: values into bytes, references into object numbers.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::registry::Type;
use crate::{Error, NESTING, Object, Registry, Result};

/// Where values write themselves.
pub struct Writer<'a> {
    registry: &'a Registry,
    pub(crate) bytes: Vec<u8>,
    /// Numbers of the objects that the early part in writing names; `None` in late parts.
    pub(crate) edges: Option<Vec<u32>>,
    /// All objects found so far. They are held, so that no address is used twice.
    pub(crate) objects: Vec<(Arc<dyn Object>, u32)>,
    /// The types found so far, in the order of their numbers.
    pub(crate) types: Vec<&'a Type>,
    kinds: BTreeMap<&'static str, u32>,
    numbers: HashMap<usize, u32, BuildHasherDefault<AddressHasher>>,
    depth: u32,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            bytes: Vec::new(),
            edges: None,
            objects: Vec::new(),
            types: Vec::new(),
            kinds: BTreeMap::new(),
            numbers: HashMap::default(),
            depth: 0,
        }
    }

    /// Writes one byte as it is.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes an unsigned number: seven bits a byte, low ones first.
    pub fn uint(&mut self, n: u64) {
        put_uint(&mut self.bytes, n);
    }

    /// Writes a signed number; small ones stay short.
    pub fn int(&mut self, n: i64) {
        self.uint((n << 1 ^ n >> 63).cast_unsigned());
    }

    /// Writes bytes and how many there are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Writes bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes one element of a counted list.
    ///
    /// It takes at least one byte (a lock would take none), so that a reader can
    /// refuse a count beyond the bytes that are left.
    ///
    /// # Errors
    /// Those of `save`.
    pub fn element(&mut self, save: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let before = self.bytes.len();
        save(self)?;
        if self.bytes.len() == before {
            self.byte(0);
        }
        Ok(())
    }

    /// Writes one level of a value that may hold its own kind.
    ///
    /// # Errors
    /// The value is nested deeper than a reader allows; those of `save`.
    pub fn nest(&mut self, save: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.depth >= NESTING {
            return Err(Error::cannot_save("a value is nested too deeply"));
        }
        self.depth += 1;
        let result = save(self);
        self.depth -= 1;
        result
    }

    /// Writes a reference to an object, which is saved in its turn.
    ///
    /// # Errors
    /// The object's type is not registered, or not as `T`.
    pub(crate) fn reference<T: Object + ?Sized>(&mut self, object: &Arc<T>) -> Result<()> {
        let address = Arc::as_ptr(object).addr();
        let number = match self.numbers.get(&address) {
            Some(number) => *number,
            None => self.discover(address, Arc::clone(object).erase())?,
        };
        let kind = self.objects[number as usize].1;
        let known = self.types[kind as usize];
        if !known.sees(TypeId::of::<T>()) {
            let (name, target) = (known.name, type_name::<T>());
            return Err(Error::cannot_save(format!("{name} is not registered as {target}")));
        }
        if let Some(edges) = &mut self.edges {
            edges.push(number);
        }
        self.uint(u64::from(number) + 1);
        Ok(())
    }

    /// Writes a reference to an object that is no more.
    ///
    /// # Errors
    /// No type is registered as `T`, so no reader could make the reference.
    pub(crate) fn dead_reference<T: Object + ?Sized>(&mut self) -> Result<()> {
        if self.registry.dead::<T>().is_none() {
            return Err(Error::cannot_save(format!(
                "no type is registered as {}",
                type_name::<T>()
            )));
        }
        self.uint(0);
        Ok(())
    }

    /// Gives a new object its number.
    fn discover(&mut self, address: usize, object: Arc<dyn Object>) -> Result<u32> {
        let number = u32::try_from(self.objects.len());
        let number = number.map_err(|_| Error::cannot_save("too many objects"))?;
        let kind = self.kind(object.type_name())?;
        self.objects.push((object, kind));
        self.numbers.insert(address, number);
        Ok(number)
    }

    /// The number of a type.
    fn kind(&mut self, name: &'static str) -> Result<u32> {
        if let Some(kind) = self.kinds.get(name) {
            return Ok(*kind);
        }
        let known = self
            .registry
            .find(name)
            .ok_or_else(|| Error::cannot_save(format!("type {name} is not registered")))?;
        let kind = u32::try_from(self.types.len());
        let kind = kind.map_err(|_| Error::cannot_save("too many types"))?;
        self.types.push(known);
        self.kinds.insert(name, kind);
        Ok(kind)
    }
}

/// Appends an unsigned number.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push((n & 0x7f) as u8);
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("bytes", &self.bytes.len())
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

/// Addresses are spread well by one multiplication. The default hasher would ask
/// the host for random keys.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = crate::print::mix(self.0, n as u64).rotate_left(32);
    }
}
