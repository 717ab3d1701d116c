//! Saving a graph: find the objects, write each, put them in order.

use std::sync::Arc;

use crate::runs::Runs;
use crate::writer::put_uint;
use crate::{Error, Object, Registry, Result, Writer, image, order};

/// Saves everything that can be reached from `root`. Nothing may run meanwhile.
///
/// # Errors
/// A lock is held, a type is not registered, fields outside locks form a cycle, or what a
/// type's own `save` says. The error names the types and fields that lead there.
pub fn save<T: Object>(registry: &Registry, root: &Arc<T>) -> Result<Vec<u8>> {
    registry.check()?;
    let mut w = Writer::new(registry);
    w.reference(root)?;
    let parts = Parts::of(&mut w)?;
    let order = order::sort(&parts.edges).map_err(|cycle| cycle_error(&w, &cycle))?;
    let sections = [table(&w, &order), section(&order, &parts.early), section(&order, &parts.late)];
    Ok(image::join(registry.version(), &sections))
}

/// What the objects have written, by number.
struct Parts {
    early: Runs<u8>,
    late: Runs<u8>,
    /// The objects that each names in its early part.
    edges: Runs<u32>,
}

impl Parts {
    /// Writes the objects in the order in which they are found, until no more are found.
    fn of(w: &mut Writer<'_>) -> Result<Self> {
        let mut parts = Self { early: Runs::new(), late: Runs::new(), edges: Runs::new() };
        let mut number = 0;
        while let Some((object, _)) = w.objects.get(number) {
            let object = Arc::clone(object);
            parts.edges.add(|edges| {
                w.edges = Some(edges);
                parts.early.add(|bytes| write(w, &*object, bytes, false))?;
                Ok(w.edges.take().unwrap_or_default())
            })?;
            parts.late.add(|bytes| write(w, &*object, bytes, true))?;
            number += 1;
        }
        Ok(parts)
    }
}

/// Appends one part of an object to `bytes`.
fn write(w: &mut Writer<'_>, object: &dyn Object, bytes: Vec<u8>, late: bool) -> Result<Vec<u8>> {
    w.bytes = bytes;
    object.save_all(w, late)?;
    Ok(std::mem::take(&mut w.bytes))
}

/// The first section: types with fingerprints, then number and type of each object.
fn table(w: &Writer<'_>, order: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, w.types.len() as u64);
    for known in &w.types {
        put_uint(&mut out, known.name.len() as u64);
        out.extend_from_slice(known.name.as_bytes());
        out.extend_from_slice(&known.print.to_le_bytes());
    }
    put_uint(&mut out, order.len() as u64);
    for number in order {
        put_uint(&mut out, *number as u64);
        put_uint(&mut out, u64::from(w.objects[*number].1));
    }
    out
}

/// The second or third section: each object's part with its length in front.
fn section(order: &[usize], parts: &Runs<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in order.iter().map(|number| parts.get(*number)) {
        put_uint(&mut out, part.len() as u64);
        out.extend_from_slice(part);
    }
    out
}

fn cycle_error(w: &Writer<'_>, cycle: &[usize]) -> Error {
    let names = cycle.iter().chain(cycle.first()).map(|number| w.objects[*number].0.type_name());
    let names: Vec<_> = names.collect();
    Error::cannot_save(format!("fields outside locks form a cycle: {}", names.join(" -> ")))
}
