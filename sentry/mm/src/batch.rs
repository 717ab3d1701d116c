//! Orders for the platform's space, collected: ten orders at once cost hardly more than one.

use platform::{Change, Protection};

use crate::{
    Span,
    pma::{Pma, addresses, advance, continues},
};

/// Changes of a space, and the pages that may be given back once they are carried out.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: Vec<Change>,
    freed: Vec<Span>,
    /// Something mapped lies behind the last change, so that it must not be widened.
    closed: bool,
}

impl Batch {
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(crate) fn into_freed(self) -> Vec<Span> {
        self.freed
    }

    /// Maps `pma` at `span`, unless it gives no right at all.
    pub(crate) fn map(&mut self, span: Span, pma: &Pma) {
        if !pma.is_mapped() {
            return;
        }
        let closed = std::mem::take(&mut self.closed);
        if let Some(Change::Map { range, backing, protection }) = self.changes.last_mut()
            && !closed
            && range.end.get() == span.start
            && *protection == pma.protection
            && continues(backing, range.len(), &pma.backing)
        {
            range.end = addresses(span).end;
            return;
        }
        let (range, backing) = (addresses(span), advance(&pma.backing, 0));
        self.changes.push(Change::Map { range, backing, protection: pma.protection });
    }

    /// Unmaps `span`. Changes must come in order of their addresses, with [`Batch::skip`] for
    /// each mapped range that is left alone: what lies between two changes is then known to be
    /// empty, and they become one.
    pub(crate) fn unmap(&mut self, span: Span) {
        let closed = std::mem::take(&mut self.closed);
        if let Some(Change::Unmap { range }) = self.changes.last_mut()
            && !closed
            && range.end.get() <= span.start
        {
            range.end = addresses(span).end;
            return;
        }
        self.changes.push(Change::Unmap { range: addresses(span) });
    }

    /// Sets the rights of `span`; the rule of [`Batch::unmap`] holds here, too.
    pub(crate) fn protect(&mut self, span: Span, rights: Protection) {
        let closed = std::mem::take(&mut self.closed);
        if let Some(Change::Protect { range, protection }) = self.changes.last_mut()
            && !closed
            && range.end.get() <= span.start
            && *protection == rights
        {
            range.end = addresses(span).end;
            return;
        }
        self.changes.push(Change::Protect { range: addresses(span), protection: rights });
    }

    /// Says that something mapped is left alone here.
    pub(crate) fn skip(&mut self) {
        self.closed = true;
    }

    /// Gives up the pages that `pma` held at `span`.
    pub(crate) fn free(&mut self, span: Span, pma: &Pma) {
        self.freed.extend(pma.frames(span.len()));
    }

    /// Unmaps and gives up pages.
    pub(crate) fn remove(&mut self, pmas: &[(Span, Pma)]) {
        for (span, pma) in pmas {
            if pma.is_mapped() {
                self.unmap(*span);
            }
            self.free(*span, pma);
        }
    }
}

#[cfg(test)]
mod tests {
    use platform::Backing;

    use super::*;
    use crate::Kind;

    fn pma(offset: u64) -> Pma {
        Pma {
            backing: Backing::Memory { offset },
            protection: Protection::READ,
            kind: Kind::Anonymous,
            writable: false,
        }
    }

    #[test]
    fn contiguous_maps_become_one_order() {
        let mut batch = Batch::default();
        batch.map(Span::from_len(0x10000, 0x1000), &pma(0));
        batch.map(Span::from_len(0x11000, 0x1000), &pma(0x1000));
        batch.map(Span::from_len(0x12000, 0x1000), &pma(0x3000));
        batch.map(Span::from_len(0x14000, 0x1000), &pma(0x4000));
        assert_eq!(batch.changes().len(), 3);
    }

    #[test]
    fn protect_and_unmap_go_over_holes_but_not_over_what_is_left_alone() {
        let mut batch = Batch::default();
        batch.protect(Span::from_len(0x10000, 0x1000), Protection::READ);
        batch.protect(Span::from_len(0x20000, 0x1000), Protection::READ);
        assert_eq!(batch.changes().len(), 1);
        batch.skip();
        batch.protect(Span::from_len(0x30000, 0x1000), Protection::READ);
        batch.protect(Span::from_len(0x31000, 0x1000), Protection::READ_EXECUTE);
        batch.unmap(Span::from_len(0x40000, 0x1000));
        batch.unmap(Span::from_len(0x50000, 0x1000));
        assert_eq!(batch.changes().len(), 4);
    }
}
