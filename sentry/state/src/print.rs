//! Fingerprints: hashes of a type's form, made at compile time.
//!
//! Two values with the same print have the same form in an image. They are no
//! protection against an attacker; they catch a change that was forgotten.

/// The print of a name.
#[must_use]
pub const fn text(text: &str) -> u64 {
    // FNV-1a: short, and possible in a `const fn`.
    let bytes = text.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The print of `first` followed by `then`; the order counts.
#[must_use]
pub const fn mix(first: u64, then: u64) -> u64 {
    (first.rotate_left(29) ^ then).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_names_count() {
        let (a, b) = (text("a"), text("b"));
        assert_ne!(a, b);
        assert_ne!(mix(a, b), mix(b, a));
        assert_ne!(mix(mix(0, a), b), mix(0, mix(a, b)));
    }
}
