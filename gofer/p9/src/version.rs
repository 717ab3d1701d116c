//! What two ends agree on before anything else.

/// The answer of a server that knows nothing of the client's version (version(5)).
pub const UNKNOWN_VERSION: &str = "unknown";

/// Smallest message size that a session can have.
pub const MIN_MSIZE: u32 = 4096;

/// Message size that a client asks for unless it knows better.
pub const DEFAULT_MSIZE: u32 = 256 * 1024;

/// Largest message size that a server agrees to.
pub const MAX_MSIZE: u32 = 1024 * 1024;

/// The language of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// 9P2000.L as Linux speaks it.
    Plain,
    /// That, and the messages whose names end in `x`.
    Extended,
}

impl Dialect {
    /// The version string.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Plain => "9P2000.L",
            Self::Extended => "9P2000.L.runsc1",
        }
    }

    /// What a server offers a client that asks for `version`: that version, or the plain one if it asks
    /// for a variant of it that we don't know, or nothing.
    #[must_use]
    pub fn offered(version: &[u8]) -> Option<Self> {
        if version == Self::Extended.version().as_bytes() {
            return Some(Self::Extended);
        }
        let rest = version.strip_prefix(Self::Plain.version().as_bytes())?;
        (rest.is_empty() || rest.starts_with(b".")).then_some(Self::Plain)
    }

    /// What a client has got when a server answers `version`: nothing if it is no version of ours.
    #[must_use]
    pub fn agreed(version: &[u8]) -> Option<Self> {
        [Self::Plain, Self::Extended].into_iter().find(|d| d.version().as_bytes() == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_falls_back_to_the_plain_dialect() {
        assert_eq!(Dialect::offered(b"9P2000.L.runsc1"), Some(Dialect::Extended));
        assert_eq!(Dialect::offered(b"9P2000.L"), Some(Dialect::Plain));
        assert_eq!(Dialect::offered(b"9P2000.L.runsc9"), Some(Dialect::Plain));
        assert_eq!(Dialect::offered(b"9P2000.Lx"), None);
        assert_eq!(Dialect::offered(b"9P2000.u"), None);
        assert_eq!(Dialect::offered(b""), None);
    }

    #[test]
    fn a_client_accepts_only_what_it_knows() {
        assert_eq!(Dialect::agreed(b"9P2000.L"), Some(Dialect::Plain));
        assert_eq!(Dialect::agreed(b"9P2000.L.runsc1"), Some(Dialect::Extended));
        assert_eq!(Dialect::agreed(b"9P2000.L.runsc9"), None);
        assert_eq!(Dialect::agreed(UNKNOWN_VERSION.as_bytes()), None);
    }
}
