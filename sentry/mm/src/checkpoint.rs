//! Saving and loading what the derives can't do: spaces are made anew, and what only repeats what
//! lies elsewhere is left out.

use std::sync::Arc;

use platform::{Backing, Platform, Protection};
use state::{Error, Load, Reader, Result, Save, Schema, Writer, print};

use crate::{
    Kind, MemoryManager, Span,
    manager::Owned,
    pma::{Pma, PmaSet},
};

impl Schema for MemoryManager {
    const NAME: &'static str = "MemoryManager";
}

/// The platform's space is a cache: a new one is empty, and faults fill it.
impl Save for MemoryManager {
    const PRINT: u64 = print::mix(print::text("id, owned"), Owned::PRINT);

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        self.id().save(w)?;
        self.owned().save(w)
    }

    fn save_late(&self, w: &mut Writer<'_>) -> Result<()> {
        self.owned().save_late(w)
    }
}

impl Load for MemoryManager {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let platform: Arc<dyn Platform> = r.given()?;
        let space = platform.new_space().map_err(|error| Error::cannot_load(error.to_string()))?;
        let id = u64::load(r)?;
        Ok(Self::from_parts(space, Owned::load(r)?, id))
    }

    fn fill(&self, r: &mut Reader<'_>) -> Result<()> {
        self.owned().fill(r)
    }
}

/// Pages of the memory object are kept, but mapped nowhere yet; those of files are found again by
/// faults.
impl Save for PmaSet {
    const PRINT: u64 = print::text("spans, offset, kind, writable; peak");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        let mut kept = Vec::new();
        for (span, pma) in self.segments().iter() {
            if let Backing::Memory { offset } = pma.backing {
                kept.push((span, offset, pma.kind, pma.writable));
            }
        }
        kept.save(w)?;
        self.peak().save(w)
    }
}

impl Load for PmaSet {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let mut set = Self::default();
        let mut end = 0;
        for (span, offset, kind, writable) in <Vec<(Span, u64, Kind, bool)>>::load(r)? {
            if span.start < end || span.start >= span.end {
                return Err(r.bad("pages out of order"));
            }
            end = span.end;
            let backing = Backing::Memory { offset };
            set.insert(span, Pma { backing, protection: Protection::NONE, kind, writable });
        }
        set.set_peak(u64::load(r)?);
        Ok(set)
    }
}
