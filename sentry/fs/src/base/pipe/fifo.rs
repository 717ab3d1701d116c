//! FIFO nodes, and how they are opened (fifo(7)).

use std::sync::Arc;

use abi::{
    Errno,
    fs::{
        open::{O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY},
        poll::POLLIN,
    },
};
use mm::Charge;
use vfs::{Ctx, Inode};

use super::{
    PipeEnd,
    buffer::{Ends, LazyPipe},
};

/// The pipe behind a FIFO node.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Fifo {
    pipe: LazyPipe,
    charge: Arc<Charge>,
}

impl Fifo {
    pub(crate) fn new(charge: &Arc<Charge>) -> Self {
        Self { pipe: LazyPipe::default(), charge: Arc::clone(charge) }
    }

    /// Opens the FIFO whose node is `inode` (with number `ino`). To read waits for a writer, to
    /// write for a reader; to do both waits for nobody.
    pub(crate) fn open(
        &self,
        cx: &Ctx<'_>,
        (inode, ino): (Arc<dyn Inode>, u64),
        flags: u32,
    ) -> Result<Arc<PipeEnd>, Errno> {
        let pipe = self.pipe.get(&self.charge);
        let ends = match flags & O_ACCMODE {
            O_RDONLY => Ends { reads: true, writes: false },
            O_WRONLY => Ends { reads: false, writes: true },
            O_RDWR => Ends { reads: true, writes: true },
            _ => return Err(Errno::EINVAL),
        };
        let waits = flags & O_NONBLOCK == 0;
        if ends == (Ends { reads: false, writes: true }) && !waits && !pipe.has_readers() {
            return Err(Errno::ENXIO);
        }
        let before = pipe.openings_of_other(ends);
        pipe.attach(ends);
        let unmet = !pipe.met(ends, before);
        // Who opens to read without waiting does not see "hung up" before there was a writer.
        let ignored = if unmet && !waits { before } else { u64::MAX };
        let end = PipeEnd::new(pipe, (inode, ino), ends, ignored);
        if unmet && waits {
            let met = || pipe.met(ends, before).then_some(());
            sched::wait_until(cx.fiber, &[&pipe.openings], POLLIN, None, met)
                .map_err(|_| Errno::ERESTARTSYS)?;
        }
        Ok(end)
    }

    /// Opens an end of a pipe without a name, through `/proc/PID/fd`: unlike the opening of a FIFO
    /// it waits for nobody.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an access mode that does not exist.
    pub(crate) fn open_again(
        &self,
        (inode, ino): (Arc<dyn Inode>, u64),
        flags: u32,
    ) -> Result<Arc<PipeEnd>, Errno> {
        let pipe = self.pipe.get(&self.charge);
        let ends = match flags & O_ACCMODE {
            O_RDONLY => Ends { reads: true, writes: false },
            O_WRONLY => Ends { reads: false, writes: true },
            O_RDWR => Ends { reads: true, writes: true },
            _ => return Err(Errno::EINVAL),
        };
        pipe.attach(ends);
        Ok(PipeEnd::new(pipe, (inode, ino), ends, u64::MAX))
    }

    /// Opens both ends of a pipe that nobody knows yet.
    pub(crate) fn pair(&self, inode: &Arc<dyn Inode>, ino: u64) -> (Arc<PipeEnd>, Arc<PipeEnd>) {
        let pipe = self.pipe.get(&self.charge);
        let [reader, writer] = [(true, false), (false, true)].map(|(reads, writes)| {
            let ends = Ends { reads, writes };
            pipe.attach(ends);
            PipeEnd::new(pipe, (Arc::clone(inode), ino), ends, u64::MAX)
        });
        (reader, writer)
    }
}
