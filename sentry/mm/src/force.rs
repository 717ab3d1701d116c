//! Access by a debugger: ptrace(2) and `/proc/PID/mem` go over what the mappings forbid.

use abi::UserAddr;
use platform::{Access, Backing};

use crate::{
    Fault, MemoryManager, Span,
    fault::{Touch, Trouble},
    manager::State,
    segments::Piece,
};

impl MemoryManager {
    /// Reads whatever the rights are; returns how many bytes there were.
    #[must_use]
    pub fn read_forced(&self, addr: UserAddr, to: &mut [u8]) -> usize {
        self.force_loop(addr, to.len(), Access::Read, |backing, done, len| {
            let Some(to) = to.get_mut(done..done + len) else { return 0 };
            match backing {
                Backing::Memory { offset } => self.memory().read(*offset, to),
                Backing::File { file, offset } => return file.read_at(to, *offset).unwrap_or(0),
            }
            len
        })
    }

    /// Writes whatever the rights are, to private copies where the mapping is private; a shared
    /// mapping must allow it. Returns how many bytes were written.
    #[must_use]
    pub fn write_forced(&self, addr: UserAddr, from: &[u8]) -> usize {
        self.force_loop(addr, from.len(), Access::Write, |backing, done, len| {
            let Some(from) = from.get(done..done + len) else { return 0 };
            match backing {
                Backing::Memory { offset } => self.memory().write(*offset, from),
                Backing::File { file, offset } => return file.write_at(from, *offset).unwrap_or(0),
            }
            len
        })
    }

    /// Goes page by page; `copy` is given what lies behind, how many bytes are done and how many
    /// to do, and returns how many it did. It runs with the lock, so that the page stays.
    fn force_loop(
        &self,
        addr: UserAddr,
        len: usize,
        access: Access,
        mut copy: impl FnMut(&Backing, usize, usize) -> usize,
    ) -> usize {
        let mut done = 0;
        while done < len {
            let Some(at) = addr.checked_add(done as u64) else { break };
            let part = Span::page(at.get()).end - at.get();
            let part = usize::try_from(part).unwrap_or(1).min(len - done);
            let result = self.with_loads(|state| {
                let backing = self.forced_page(state, at.get(), access)?;
                Ok(copy(&backing, done, part))
            });
            match result {
                Ok(more) if more > 0 => done += more,
                _ => break,
            }
        }
        done
    }

    /// Brings in the page at `at`; returns what lies behind that address.
    fn forced_page(&self, state: &mut State, at: u64, access: Access) -> Result<Backing, Trouble> {
        let (span, vma) = state.vmas.segments().at(at).ok_or(Fault::NotMapped)?;
        let vma = vma.clone();
        if access == Access::Write && vma.shared && !vma.protection.write {
            return Err(Fault::Denied.into());
        }
        self.bring_in(state, &Touch { page: Span::page(at), access, vma, span })?;
        let (span, pma) = state.pmas.segments().at(at).ok_or(Fault::NotMapped)?;
        Ok(pma.skip(at - span.start).backing)
    }
}
