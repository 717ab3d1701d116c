//! The macro that turns a list of messages into types and their codec.

/// One line per message: type number, name of the variant, name of the struct, fields in wire order.
macro_rules! messages {
    (
        $(#[$meta:meta])* $enum:ident;
        $($(#[$doc:meta])* $kind:literal $variant:ident $name:ident { $($field:ident: $ty:ty),* })*
    ) => {
        $($crate::wire::wire_struct! {
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Eq)]
            $name { $($field: $ty),* }
        })*

        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $enum { $($(#[$doc])* $variant($name)),* }

        $(impl From<$name> for $enum {
            fn from(message: $name) -> Self {
                Self::$variant(message)
            }
        })*

        impl $enum {
            /// Type number and name of every message of this side.
            pub const KINDS: &[(u8, &str)] = &[$(($kind, stringify!($name))),*];

            /// Type number.
            #[must_use]
            pub fn kind(&self) -> u8 {
                match self { $(Self::$variant(_) => $kind),* }
            }

            /// Name, as in the manual.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($name)),* }
            }

            /// Appends the message to `out` as one frame; on failure `out` is as before.
            ///
            /// # Errors
            /// [`CodecError::TooLong`](crate::CodecError::TooLong) if a length field can't hold a length.
            pub fn encode(
                &self,
                tag: u16,
                out: &mut alloc::vec::Vec<u8>,
            ) -> Result<(), $crate::CodecError> {
                $crate::frame::write(self.kind(), tag, out, |out| match self {
                    $(Self::$variant(message) => $crate::Wire::put(message, out)),*
                })
            }

            /// Reads the message of a whole frame, and its tag.
            ///
            /// # Errors
            /// Any [`CodecError`](crate::CodecError) that says why there is none.
            pub fn decode(frame: &[u8]) -> Result<(u16, Self), $crate::CodecError> {
                let (header, mut input) = $crate::frame::read(frame)?;
                let message = match header.kind {
                    $($kind => Self::$variant($crate::Wire::get(&mut input)?),)*
                    kind => return Err($crate::CodecError::UnknownType(kind)),
                };
                if input.is_empty() {
                    Ok((header.tag, message))
                } else {
                    Err($crate::CodecError::TrailingBytes)
                }
            }

            /// A message of type `kind` with fields drawn from `from`.
            #[cfg(test)]
            pub(crate) fn sample(kind: u8, from: &mut $crate::sample::Bits) -> Option<Self> {
                match kind {
                    $($kind => Some(Self::$variant($crate::sample::Sample::sample(from))),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use messages;
