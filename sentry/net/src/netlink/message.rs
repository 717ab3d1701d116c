//! The layout of netlink messages (linux/netlink.h).

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
/// Everything begins at a multiple of this.
const ALIGN: usize = 4;

pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_MULTI: u16 = 2;
pub(super) const NLM_F_ACK: u16 = 4;
/// `NLM_F_ROOT | NLM_F_MATCH`.
pub(super) const NLM_F_DUMP: u16 = 0x300;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

/// A request as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) header: Header,
    /// The bytes of the header, for an error that quotes it.
    pub(super) header_bytes: &'a [u8],
    pub(super) body: &'a [u8],
}

/// Splits the first request off; `None` if there is no whole one.
pub(super) fn split(bytes: &[u8]) -> Option<(Request<'_>, &[u8])> {
    let header_bytes = bytes.get(..HEADER_BYTES)?;
    let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let len = usize::try_from(word(0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..len)?;
    let (kind, flags) = (half(4)?, half(6)?);
    let header = Header { kind, flags, sequence: word(8)?, port: word(12)? };
    let rest = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((Request { header, header_bytes, body }, rest))
}

/// Puts a message together.
#[derive(Debug)]
pub(super) struct Builder(Vec<u8>);

impl Builder {
    pub(super) fn new(header: Header) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(header.kind.to_ne_bytes());
        bytes.extend(header.flags.to_ne_bytes());
        bytes.extend(header.sequence.to_ne_bytes());
        bytes.extend(header.port.to_ne_bytes());
        Self(bytes)
    }

    /// The fixed part.
    pub(super) fn body(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.pad();
        self
    }

    /// An attribute (`struct rtattr`).
    pub(super) fn attribute(mut self, kind: u16, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(bytes);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
    }

    /// The bytes, with their number in front.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_ne_bytes();
        self.0.iter_mut().zip(len).for_each(|(to, from)| *to = from);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_split_again() {
        let header = Header { kind: 18, flags: 0x301, sequence: 7, port: 9 };
        let mut bytes = Builder::new(header).body(&[1, 2, 3]).attribute(4, b"lo\0").finish();
        let len = bytes.len();
        assert_eq!(len % ALIGN, 0);
        bytes.extend([9; 3]);
        let (request, rest) = split(&bytes).unwrap();
        assert_eq!(request.header, header);
        assert_eq!(request.body, [1, 2, 3, 0, 7, 0, 4, 0, b'l', b'o', 0, 0]);
        assert_eq!(rest, [9; 3]);
    }

    #[test]
    fn no_length_leads_out_of_the_message() {
        for len in [0, 1, 15, 17, u32::MAX] {
            let mut bytes = vec![0; 16];
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(split(&bytes), None, "{len}");
        }
        assert_eq!(split(&[16, 0, 0, 0]), None);
    }
}
