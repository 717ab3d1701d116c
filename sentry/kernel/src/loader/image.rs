//! Mapping the segments of a program or of its interpreter.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE, USER_MAX, USER_MIN, UserAddr};
use mm::{Fixed, MapRequest, Mappable, MemoryManager, Span};
use platform::Protection;

use super::elf::{Elf, Segment};

/// Where a program that may lie anywhere is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At this address, or a little below as its alignment demands.
    At(u64),
    /// Where mappings go.
    Anywhere,
}

/// Maps all segments of `elf`, whose file is `mappable`; returns by how much it was moved.
///
/// # Errors
///
/// `ENOMEM` and what else mmap(2) says; `EINVAL` if its addresses or its entry are no
/// application's.
pub(super) fn map(
    mm: &Arc<MemoryManager>,
    elf: &Elf,
    mappable: &Arc<dyn Mappable>,
    place: Place,
) -> Result<u64, Errno> {
    let bias = if elf.relocatable { bias(mm, elf, place)? } else { 0 };
    let entry = UserAddr::new(elf.entry.wrapping_add(bias));
    if entry < USER_MIN || entry >= USER_MAX {
        return Err(Errno::EINVAL);
    }
    for segment in &elf.segments {
        map_segment(mm, segment, segment.addr.wrapping_add(bias), mappable)?;
    }
    Ok(bias)
}

/// By how much `elf` is to be moved: a multiple of its alignment.
fn bias(mm: &Arc<MemoryManager>, elf: &Elf, place: Place) -> Result<u64, Errno> {
    let pages = elf.pages();
    let down = |addr: u64| addr & !(elf.align - 1);
    match place {
        Place::At(base) => Ok(down(base).wrapping_sub(down(pages.start))),
        Place::Anywhere => {
            // Nobody else knows this memory yet, so what is free now stays free.
            let spare = elf.align - PAGE_SIZE;
            let len = pages.len().checked_add(spare).ok_or(Errno::ENOMEM)?;
            let found = mm.map(MapRequest::anonymous(len, Protection::NONE))?;
            mm.unmap(found, len)?;
            Ok(down(found.get().wrapping_sub(pages.start).wrapping_add(elf.align - 1)))
        }
    }
}

fn map_segment(
    mm: &Arc<MemoryManager>,
    segment: &Segment,
    addr: u64,
    mappable: &Arc<dyn Mappable>,
) -> Result<(), Errno> {
    let in_page = addr % PAGE_SIZE;
    let start = addr - in_page;
    let page_up = |at: u64| at.checked_add(PAGE_SIZE - 1).map(|at| at & !(PAGE_SIZE - 1));
    let end = addr.checked_add(segment.len).and_then(page_up).ok_or(Errno::EINVAL)?;
    let file_end = addr + segment.file.len();
    let mut anonymous = Span::new(start, end);
    if !segment.file.is_empty() {
        let file_pages = Span::new(start, page_up(file_end).ok_or(Errno::EINVAL)?);
        let offset = segment.file.start - in_page;
        let what = Arc::clone(mappable);
        let request = MapRequest::file(what, offset, file_pages.len(), segment.protection);
        put(mm, request, file_pages.start)?;
        anonymous.start = file_pages.end;
    }
    if !anonymous.is_empty() {
        put(mm, MapRequest::anonymous(anonymous.len(), segment.protection), anonymous.start)?;
    }
    // What the file holds behind the segment must not be seen in its last page. Linux leaves it
    // there in memory that can't be written, too.
    let zeroed = segment.len > segment.file.len() && segment.protection.write;
    if zeroed && !segment.file.is_empty() && file_end < anonymous.start {
        mm.zero(UserAddr::new(file_end), anonymous.start - file_end)?;
    }
    Ok(())
}

fn put(mm: &Arc<MemoryManager>, request: MapRequest, at: u64) -> Result<(), Errno> {
    let request = MapRequest { fixed: Fixed::NoReplace, ..request.at(UserAddr::new(at)) };
    mm.map(request).map(drop)
}
