//! Bytes on their way to a socket.

use std::{collections::VecDeque, sync::Arc};

use abi::{Errno, socket::Ucred};
use mm::{Charge, Kind};
use vfs::{OpenFile, Src};

use crate::Address;

/// What a segment costs beside its bytes, about. It counts against buffer limits, so that many
/// small messages do not take more memory than one large one.
pub(crate) const OVERHEAD_BYTES: usize = 128;
/// Bytes that are copied in one step.
pub(crate) const STEP_BYTES: usize = 64 * 1024;
/// Small writes are added to the last segment until it is so large.
const JOIN_BYTES: usize = 4096;

/// What was sent by one call, or a part of it.
#[derive(Debug, Default, state::Save, state::Load)]
pub(crate) struct Segment {
    data: Vec<u8>,
    start: usize,
    charged: usize,
    pub(crate) sender: Ucred,
    /// Descriptors in flight, to be handed over with the first byte.
    pub(crate) rights: Vec<Arc<OpenFile>>,
    /// Who sent it, and to which address, for datagrams.
    pub(crate) from: Option<Address>,
    pub(crate) to: Option<std::net::IpAddr>,
    /// Hop limit and traffic class of a packet.
    pub(crate) ttl: i32,
    pub(crate) tos: i32,
}

impl Segment {
    pub(crate) fn new(data: Vec<u8>, sender: Ucred) -> Self {
        Self { data, sender, ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..).unwrap_or_default()
    }

    /// The first `count` bytes are done with.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.data.len());
    }
}

/// A queue of segments, paid for by a container.
#[derive(Debug, state::Save, state::Load)]
pub(crate) struct Segments {
    queue: VecDeque<Segment>,
    /// Bytes not read yet.
    bytes: usize,
    charge: Arc<Charge>,
}

/// What a checkpoint puts its own into; nobody pays for it.
impl Default for Segments {
    fn default() -> Self {
        Self::new(&Charge::new(0))
    }
}

impl Segments {
    pub(crate) fn new(charge: &Arc<Charge>) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, charge: Arc::clone(charge) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes not read yet.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What counts against a buffer limit.
    pub(crate) fn used(&self) -> usize {
        self.bytes + self.queue.len() * OVERHEAD_BYTES
    }

    pub(crate) fn front(&self) -> Option<&Segment> {
        self.queue.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.queue.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.queue.iter_mut()
    }

    /// Adds a message.
    ///
    /// # Errors
    ///
    /// Its descriptors if there is no memory for it.
    pub(crate) fn push(&mut self, mut segment: Segment) -> Result<(), Vec<Arc<OpenFile>>> {
        segment.charged = segment.data.len() + OVERHEAD_BYTES;
        if !self.charge.add(segment.charged as u64, Kind::Kernel) {
            return Err(segment.rights);
        }
        self.bytes += segment.bytes().len();
        self.queue.push_back(segment);
        Ok(())
    }

    /// Adds bytes of a stream, which may join those sent before by the same sender.
    ///
    /// # Errors
    ///
    /// Its descriptors if there is no memory for it.
    pub(crate) fn push_stream(&mut self, segment: Segment) -> Result<(), Vec<Arc<OpenFile>>> {
        let more = segment.data.len();
        let last = self.queue.back_mut().filter(|last| {
            segment.rights.is_empty()
                && last.rights.is_empty()
                && last.sender == segment.sender
                && last.data.len() + more <= JOIN_BYTES
        });
        let Some(last) = last else { return self.push(segment) };
        if !self.charge.add(more as u64, Kind::Kernel) {
            return Err(segment.rights);
        }
        last.charged += more;
        last.data.extend_from_slice(&segment.data);
        self.bytes += more;
        Ok(())
    }

    /// Takes the first one out.
    pub(crate) fn pop(&mut self) -> Option<Segment> {
        let mut segment = self.queue.pop_front()?;
        self.bytes -= segment.bytes().len().min(self.bytes);
        self.charge.sub(segment.charged as u64, Kind::Kernel);
        segment.charged = 0;
        Some(segment)
    }

    /// Puts back what is left of the first one.
    pub(crate) fn put_back(&mut self, mut segment: Segment) {
        let cost = segment.bytes().len() + OVERHEAD_BYTES;
        // It was paid for a moment ago; if somebody took that, the limit is missed by this much.
        segment.charged = if self.charge.add(cost as u64, Kind::Kernel) { cost } else { 0 };
        self.bytes += segment.bytes().len();
        self.queue.push_front(segment);
    }

    /// Takes all out; the descriptors among it are returned.
    pub(crate) fn clear(&mut self) -> Vec<Arc<OpenFile>> {
        let mut rights = Vec::new();
        while let Some(segment) = self.pop() {
            rights.extend(segment.rights);
        }
        rights
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

/// Copies up to `most` bytes from `src` into memory of the kernel.
pub(crate) fn take_bytes(src: &mut dyn Src, most: usize) -> Result<Vec<u8>, Errno> {
    let mut data = vec![0; src.remaining().min(most)];
    let mut done = 0;
    while let Some(rest) = data.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match src.take(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    data.truncate(done);
    Ok(data)
}

/// Copies a whole message of at most `most` bytes.
///
/// # Errors
///
/// `EMSGSIZE` if it is longer, `EFAULT` if a part can't be read.
pub(crate) fn take_message(src: &mut dyn Src, most: usize) -> Result<Vec<u8>, Errno> {
    let wanted = src.remaining();
    if wanted > most {
        return Err(Errno::EMSGSIZE);
    }
    let data = take_bytes(src, wanted)?;
    if data.len() == wanted { Ok(data) } else { Err(Errno::EFAULT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bytes: &[u8]) -> Segment {
        Segment::new(bytes.to_vec(), Ucred::default())
    }

    #[test]
    fn small_writes_of_a_stream_join_and_messages_do_not() {
        let mut queue = Segments::new(&Charge::new(u64::MAX));
        queue.push_stream(segment(b"ab")).unwrap();
        queue.push_stream(segment(b"cd")).unwrap();
        queue.push(segment(b"ef")).unwrap();
        assert_eq!((queue.len(), queue.bytes()), (2, 6));
        assert_eq!(queue.pop().unwrap().bytes(), b"abcd");
        assert_eq!(queue.pop().unwrap().bytes(), b"ef");
        let other = Ucred { pid: 5, uid: 0, gid: 0 };
        queue.push_stream(segment(b"x")).unwrap();
        queue.push_stream(Segment::new(b"y".to_vec(), other)).unwrap();
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn the_account_is_even_when_all_is_gone() {
        let charge = Charge::new(10 * OVERHEAD_BYTES as u64);
        let mut queue = Segments::new(&charge);
        queue.push_stream(segment(b"abc")).unwrap();
        let mut first = queue.pop().unwrap();
        first.advance(1);
        queue.put_back(first);
        queue.push_stream(segment(b"d")).unwrap();
        assert_eq!(queue.pop().unwrap().bytes(), b"bcd");
        assert_eq!(charge.usage().total, 0);
        assert!(queue.push(segment(&[0; 2000])).is_err());
        queue.push(segment(b"left behind")).unwrap();
        drop(queue);
        assert_eq!(charge.usage().total, 0);
    }
}
