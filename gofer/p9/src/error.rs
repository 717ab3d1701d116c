//! What can be wrong with a frame.

use core::fmt;

/// Why bytes are not a message, or a message has no form in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// The frame ends inside a field.
    Truncated,
    /// The frame goes on after the last field.
    TrailingBytes,
    /// The size in the header is not the length of the frame.
    BadSize,
    /// No message of this side has that type number.
    UnknownType(u8),
    /// A string, a list or the frame is longer than its length field can say.
    TooLong,
    /// A flag byte is neither 0 nor 1.
    BadFlag,
    /// A name is empty, `.`, `..`, too long, or has a slash or a NUL in it.
    BadName,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("frame ends inside a field"),
            Self::TrailingBytes => f.write_str("frame goes on after its last field"),
            Self::BadSize => f.write_str("size in the header is not the length of the frame"),
            Self::UnknownType(kind) => write!(f, "unknown message type {kind}"),
            Self::TooLong => f.write_str("too long for its length field"),
            Self::BadFlag => f.write_str("flag byte is neither 0 nor 1"),
            Self::BadName => f.write_str("not a name of one path step"),
        }
    }
}

impl core::error::Error for CodecError {}
