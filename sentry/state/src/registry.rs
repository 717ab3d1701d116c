//! The types that may occur in an image.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::{Error, Load, Object, Reader, Result, Save, Schema};

/// An object whose type is known only at run time.
pub(crate) type AnyArc = Arc<dyn Any + Send + Sync>;

/// Brings an object back as `Arc<D>`.
type Cast<D> = Box<dyn Fn(&AnyArc) -> Option<Arc<D>> + Send + Sync>;

/// The object types of a program, and the version of the images that it writes.
///
/// The list is explicit. Lists that the linker gathers lose the entries of a crate that nobody
/// names; here a missing type fails the save and is named.
///
/// Each crate offers `pub fn register(r: Registry) -> Registry`; the assembler chains them.
pub struct Registry {
    version: u32,
    types: BTreeMap<&'static str, Type>,
    /// A `Weak<D>` that names nothing, for each `D` that is a type or a view.
    dead: BTreeMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// What a loading program brings along, by type.
    given: BTreeMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// The first contradiction in the list; each save and load reports it.
    fault: Option<String>,
}

/// What is known of one object type.
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) print: u64,
    pub(crate) make: fn(&mut Reader<'_>) -> Result<Arc<dyn Object>>,
    id: TypeId,
    /// For the type itself and each trait: its id and a `Cast<D>`.
    views: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
}

impl Registry {
    /// An empty list; `version` is written into images and raised when any type changes.
    #[must_use]
    pub fn new(version: u32) -> Self {
        Self {
            version,
            types: BTreeMap::new(),
            dead: BTreeMap::new(),
            given: BTreeMap::new(),
            fault: None,
        }
    }

    /// Adds an object type. Adding it again changes nothing.
    #[must_use]
    pub fn object<T>(mut self) -> Self
    where
        T: Save + Load + Schema + Send + Sync + 'static,
    {
        let id = TypeId::of::<T>();
        match self.types.get(T::NAME) {
            Some(known) if known.id == id => return self,
            Some(_) => return self.refuse(format!("two types are named {}", T::NAME)),
            None => {}
        }
        let cast: Cast<T> = Box::new(|any| Arc::clone(any).downcast().ok());
        let entry = Type {
            name: T::NAME,
            print: T::PRINT,
            make: |r| Ok(Arc::new(T::load(r)?)),
            id,
            views: vec![(id, Box::new(cast))],
        };
        self.types.insert(T::NAME, entry);
        self.dead.insert(id, Box::new(Weak::<T>::new()));
        self
    }

    /// Allows objects of type `T` behind `Arc<D>` and `Weak<D>`, for a trait `D`:
    /// `.view::<Pipe, dyn File>(|weak| weak)`.
    ///
    /// `upcast` is the language's own coercion. It is asked for a `Weak`, because that serves both
    /// kinds of reference and can be made with no object at hand.
    #[must_use]
    pub fn view<T, D>(mut self, upcast: fn(Weak<T>) -> Weak<D>) -> Self
    where
        T: Schema + Send + Sync + 'static,
        D: Object + ?Sized,
    {
        let (id, target) = (TypeId::of::<T>(), TypeId::of::<D>());
        let Some(known) = self.types.get_mut(T::NAME).filter(|known| known.id == id) else {
            return self.refuse(format!("object::<{0}>() comes before view::<{0}, _>()", T::NAME));
        };
        if known.sees(target) {
            return self;
        }
        let cast: Cast<D> = Box::new(move |any| {
            let object = Arc::clone(any).downcast::<T>().ok()?;
            upcast(Arc::downgrade(&object)).upgrade()
        });
        known.views.push((target, Box::new(cast)));
        self.dead.entry(target).or_insert_with(|| Box::new(upcast(Weak::new())));
        self
    }

    /// Brings along what no image holds: a load puts it into the fields with `#[state(given)]`
    /// ([`Reader::given`]).
    #[must_use]
    pub fn give<T: ?Sized + Send + Sync + 'static>(mut self, value: Arc<T>) -> Self {
        self.given.insert(TypeId::of::<T>(), Box::new(value));
        self
    }

    pub(crate) fn given<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.given.get(&TypeId::of::<T>())?.downcast_ref::<Arc<T>>().cloned()
    }

    /// The version of the images that this program writes.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The registered types and their fingerprints, by name: a test pins them beside the version.
    pub fn prints(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.types.values().map(|known| (known.name, known.print))
    }

    /// # Errors
    /// The list contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.fault {
            Some(fault) => Err(Error::cannot_save(format!("type registry: {fault}"))),
            None => Ok(()),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// A `Weak<D>` that names nothing; `None` if no object can stand behind a `Weak<D>`.
    pub(crate) fn dead<D: ?Sized + 'static>(&self) -> Option<Weak<D>> {
        self.dead.get(&TypeId::of::<D>())?.downcast_ref::<Weak<D>>().cloned()
    }

    fn refuse(mut self, fault: String) -> Self {
        self.fault.get_or_insert(fault);
        self
    }
}

impl Type {
    /// May the type stand behind an `Arc` of `target`?
    pub(crate) fn sees(&self, target: TypeId) -> bool {
        self.views.iter().any(|view| view.0 == target)
    }

    /// The object as an `Arc<D>`.
    pub(crate) fn view<D: ?Sized + 'static>(&self, object: &AnyArc) -> Option<Arc<D>> {
        let target = TypeId::of::<D>();
        let (_, cast) = self.views.iter().find(|view| view.0 == target)?;
        cast.downcast_ref::<Cast<D>>()?(object)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("version", &self.version)
            .field("types", &self.types.keys())
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
