//! Loading a graph, in three passes: make the objects, fill their locks, let them check themselves.

use std::sync::Arc;

use crate::image::{self, Image, Section};
use crate::{Cause, Error, Load as _, Object, Reader, Registry, Result};

/// Loads what [`save`](crate::save()) has written, and gives back its root.
///
/// # Errors
/// The image is damaged, newer than the program, has types that are unknown or have other
/// fields, or an object could not be brought to life. What was made is dropped; objects that
/// form a cycle by then are leaked, so a program whose load fails ends.
pub fn load<T: Object>(registry: &Registry, image: &[u8]) -> Result<Arc<T>> {
    load_image(registry, &image::split(image, registry.version(), true)?)
}

/// [`load`] without a look at the checksums: to test that the decoder trusts nothing.
///
/// # Errors
/// As for [`load`].
pub fn load_unchecked<T: Object>(registry: &Registry, image: &[u8]) -> Result<Arc<T>> {
    load_image(registry, &image::split(image, registry.version(), false)?)
}

fn load_image<T: Object>(registry: &Registry, image: &Image<'_>) -> Result<Arc<T>> {
    registry.check()?;
    let [table, early, late] = image.sections;
    let mut r = Reader::new(registry, image.version);
    r.enter(table);
    read_types(&mut r)?;
    let order = read_order(&mut r)?;
    let mut made = Made(Vec::new());
    let result = passes(&mut r, &order, &mut made.0, early, late);
    // The reader's references go first: `made` has to be the last to let go.
    let root = r.root();
    drop(r);
    result?;
    root.ok_or_else(|| Error::damaged(table.end, "the root is of another type"))
}

/// Reads the names of the types and compares their fingerprints.
fn read_types(r: &mut Reader<'_>) -> Result<()> {
    for _ in 0..r.count()? {
        let name = String::load(r)?;
        let print = u64::from_le_bytes(<[u8; 8]>::load(r)?);
        let Some(known) = r.registry.find(&name) else {
            return Err(Cause::UnknownType(name).into());
        };
        if known.print != print {
            return Err(Cause::OtherFields(name).into());
        }
        r.types.push(known);
    }
    Ok(())
}

/// Reads number and type of each object, in the order in which they are made.
fn read_order(r: &mut Reader<'_>) -> Result<Vec<(usize, u32)>> {
    let count = r.count()?;
    let mut order = Vec::new();
    for _ in 0..count {
        let number = usize::load(r)?;
        let kind = u32::load(r)?;
        if number >= count || kind as usize >= r.types.len() {
            return Err(r.bad("object number or type out of range"));
        }
        order.push((number, kind));
    }
    r.finish()?;
    r.objects.resize_with(count, || None);
    Ok(order)
}

fn passes<'a>(
    r: &mut Reader<'a>,
    order: &[(usize, u32)],
    made: &mut Vec<Arc<dyn Object>>,
    early: Section<'a>,
    late: Section<'a>,
) -> Result<()> {
    r.enter(early);
    for &(number, kind) in order {
        let make = r.types[kind as usize].make;
        let object = r.part(make)?;
        made.push(Arc::clone(&object));
        if r.objects[number].replace((object.any(), kind)).is_some() {
            return Err(r.bad("an object twice"));
        }
    }
    r.finish()?;
    r.enter(late);
    made.iter().try_for_each(|object| r.part(|r| object.fill_all(r)))?;
    r.finish()?;
    made.iter().try_for_each(|object| object.loaded())
}

/// The objects in the order of their making.
///
/// Dropped from the newest on: what an object names is still held from here, so a long
/// chain does not recurse.
struct Made(Vec<Arc<dyn Object>>);

impl Drop for Made {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}
