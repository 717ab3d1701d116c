//! Many short lists in one allocation.

use crate::Result;

/// Runs of items, one after the other.
#[derive(Debug)]
pub(crate) struct Runs<T> {
    items: Vec<T>,
    /// Where each run ends.
    ends: Vec<usize>,
}

impl<T> Runs<T> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }

    /// Appends a run: what `fill` adds to the items so far.
    pub(crate) fn add(&mut self, fill: impl FnOnce(Vec<T>) -> Result<Vec<T>>) -> Result<()> {
        self.items = fill(std::mem::take(&mut self.items))?;
        self.ends.push(self.items.len());
        Ok(())
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The run at `index`; empty if there is none.
    pub(crate) fn get(&self, index: usize) -> &[T] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.items.get(start.copied().unwrap_or(0)..end).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_by_index_and_may_be_empty() {
        let mut runs = Runs::new();
        for run in [&[1, 2][..], &[], &[3]] {
            runs.add(|mut items| {
                items.extend_from_slice(run);
                Ok(items)
            })
            .unwrap();
        }
        assert_eq!(runs.len(), 3);
        assert_eq!(
            [runs.get(0), runs.get(1), runs.get(2), runs.get(3)],
            [&[1, 2][..], &[], &[3], &[]]
        );
    }
}
