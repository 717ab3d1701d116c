//! Bytes on their way through a pipe, and who is at its ends.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use abi::{
    Errno,
    fs::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
};
use mm::{Charge, Kind};
use sched::{Mutex, WaitQueue};
use state::live::Live;
use vfs::{Ctx, Dst, SleepLock, Src};

/// Writes of at most so many bytes are not mixed with others (`PIPE_BUF`, pipe(7)).
pub(super) const PIPE_BUF_BYTES: usize = 4096;
/// Capacity at first (pipe(7): 16 pages).
const CAPACITY_BYTES: usize = 64 * 1024;
/// Largest capacity that anybody may ask for (`/proc/sys/fs/pipe-max-size`).
pub(super) const CAPACITY_MAX_BYTES: usize = 1024 * 1024;

/// Which ends an open file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub(super) struct Ends {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// A pipe.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    charge: Arc<Charge>,
    /// Readers and writers wait here for bytes, for room, and for the end.
    #[state(skip)]
    pub(super) events: WaitQueue,
    /// Openers of a FIFO wait here for the other side.
    #[state(skip)]
    pub(super) openings: WaitQueue,
    /// One reader at a time may have bytes in its hands, so that it can put back what it could
    /// not store.
    #[state(skip)]
    reading: SleepLock,
    /// One writer at a time, so that what there is room for is still there after the copy.
    #[state(skip)]
    writing: SleepLock,
    #[state(skip)]
    _live: Live<Self>,
}

#[derive(Debug, state::Save, state::Load)]
struct State {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// What was added to the account for `bytes`.
    charged: usize,
    readers: usize,
    writers: usize,
    /// How often it was opened for reading and writing, ever.
    reader_openings: u64,
    writer_openings: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity: CAPACITY_BYTES,
            charged: 0,
            readers: 0,
            writers: 0,
            reader_openings: 0,
            writer_openings: 0,
        }
    }
}

impl State {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// Makes room in memory for `more` bytes, charged in steps of a power of two.
    fn grow(&mut self, more: usize, charge: &Charge) -> Result<(), Errno> {
        let needed = self.bytes.len() + more;
        if needed <= self.charged {
            return Ok(());
        }
        let target = needed.next_power_of_two().max(PIPE_BUF_BYTES);
        if !charge.add((target - self.charged) as u64, Kind::Kernel) {
            return Err(Errno::ENOMEM);
        }
        self.charged = target;
        self.bytes.reserve_exact(target - self.bytes.len());
        Ok(())
    }

    /// Takes the first `count` bytes out.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let (front, back) = self.bytes.as_slices();
        let from_front = front.get(..count.min(front.len())).unwrap_or_default();
        let mut taken = Vec::with_capacity(count);
        taken.extend_from_slice(from_front);
        let rest = count - from_front.len();
        taken.extend_from_slice(back.get(..rest).unwrap_or_default());
        self.bytes.drain(..taken.len());
        taken
    }

    fn release(&mut self, charge: &Charge) {
        charge.sub(self.charged as u64, Kind::Kernel);
        self.charged = 0;
        self.bytes = VecDeque::new();
    }
}

impl Pipe {
    pub(super) fn new(charge: &Arc<Charge>) -> Self {
        Self {
            state: Mutex::default(),
            charge: Arc::clone(charge),
            events: WaitQueue::new(),
            openings: WaitQueue::new(),
            reading: SleepLock::default(),
            writing: SleepLock::default(),
            _live: Live::new(),
        }
    }

    /// Somebody opens these ends.
    pub(super) fn attach(&self, ends: Ends) {
        {
            let mut state = self.state.lock();
            state.readers += usize::from(ends.reads);
            state.writers += usize::from(ends.writes);
            state.reader_openings += u64::from(ends.reads);
            state.writer_openings += u64::from(ends.writes);
        }
        self.openings.notify(POLLIN);
    }

    /// Somebody closes these ends; with the last one the bytes go.
    pub(super) fn detach(&self, ends: Ends) {
        let mut events = 0;
        {
            let mut state = self.state.lock();
            state.readers = state.readers.saturating_sub(usize::from(ends.reads));
            state.writers = state.writers.saturating_sub(usize::from(ends.writes));
            if state.readers == 0 {
                events |= POLLERR | POLLOUT | POLLWRNORM;
            }
            if state.writers == 0 {
                events |= POLLHUP | POLLIN | POLLRDNORM;
            }
            if state.readers == 0 && state.writers == 0 {
                state.release(&self.charge);
                state.capacity = CAPACITY_BYTES;
            }
        }
        self.events.notify(events);
    }

    /// True once the other side is there, or was since `openings` of it were counted.
    pub(super) fn met(&self, mine: Ends, openings: u64) -> bool {
        let state = self.state.lock();
        let (there, now) = if mine.reads {
            (state.writers, state.writer_openings)
        } else {
            (state.readers, state.reader_openings)
        };
        there > 0 || now != openings
    }

    /// How often the other side was opened so far.
    pub(super) fn openings_of_other(&self, mine: Ends) -> u64 {
        let state = self.state.lock();
        if mine.reads { state.writer_openings } else { state.reader_openings }
    }

    pub(super) fn has_readers(&self) -> bool {
        self.state.lock().readers > 0
    }

    /// Bytes that wait to be read.
    pub(super) fn len(&self) -> usize {
        self.state.lock().bytes.len()
    }

    pub(super) fn read(&self, cx: &Ctx<'_>, dst: &mut dyn Dst) -> Result<usize, Errno> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let _alone = self.reading.lock(cx.fiber);
        let taken: Vec<u8> = {
            let mut state = self.state.lock();
            if state.bytes.is_empty() {
                return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
            }
            let count = dst.remaining().min(state.bytes.len());
            state.take(count)
        };
        let result = dst.put(&taken);
        let stored = *result.as_ref().unwrap_or(&0);
        let rest = taken.get(stored..).unwrap_or_default();
        if !rest.is_empty() {
            let mut state = self.state.lock();
            rest.iter().rev().for_each(|byte| state.bytes.push_front(*byte));
        }
        if stored > 0 {
            self.events.notify(POLLOUT | POLLWRNORM);
        }
        result
    }

    pub(super) fn write(&self, cx: &Ctx<'_>, src: &mut dyn Src) -> Result<usize, Errno> {
        let wanted = src.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let _alone = self.writing.lock(cx.fiber);
        let room = {
            let mut state = self.state.lock();
            if state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            let room = state.room();
            if room == 0 || (wanted <= PIPE_BUF_BYTES && room < wanted) {
                return Err(Errno::EAGAIN);
            }
            let room = room.min(wanted);
            state.grow(room, &self.charge)?;
            room
        };
        let mut buf = vec![0; room];
        let count = src.take(&mut buf)?;
        {
            let mut state = self.state.lock();
            if state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            state.bytes.extend(buf.get(..count).unwrap_or_default());
        }
        self.events.notify(POLLIN | POLLRDNORM);
        Ok(count)
    }

    /// The events of an end that was opened after `openings` openings of the other side.
    pub(super) fn poll(&self, ends: Ends, openings: u64) -> u32 {
        let state = self.state.lock();
        let mut events = 0;
        if ends.reads {
            if !state.bytes.is_empty() {
                events |= POLLIN | POLLRDNORM;
            }
            if state.writers == 0 && state.writer_openings != openings {
                events |= POLLHUP;
            }
        }
        if ends.writes {
            if state.room() >= PIPE_BUF_BYTES {
                events |= POLLOUT | POLLWRNORM;
            }
            if state.readers == 0 {
                events |= POLLERR;
            }
        }
        events
    }

    pub(super) fn capacity(&self) -> usize {
        self.state.lock().capacity
    }

    /// Sets the capacity, rounded up to a power of two (fcntl(2), `F_SETPIPE_SZ`).
    pub(super) fn set_capacity(&self, bytes: usize) -> Result<usize, Errno> {
        let capacity = bytes.max(PIPE_BUF_BYTES).next_power_of_two();
        let mut state = self.state.lock();
        if state.bytes.len() > capacity {
            return Err(Errno::EBUSY);
        }
        state.capacity = capacity;
        drop(state);
        self.events.notify(POLLOUT | POLLWRNORM);
        Ok(capacity)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.state.get_mut().release(&self.charge);
    }
}

/// A pipe that is made when it is first opened: most FIFO nodes never are.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct LazyPipe(OnceLock<Arc<Pipe>>);

impl LazyPipe {
    pub(super) fn get(&self, charge: &Arc<Charge>) -> &Arc<Pipe> {
        self.0.get_or_init(|| Arc::new(Pipe::new(charge)))
    }
}
