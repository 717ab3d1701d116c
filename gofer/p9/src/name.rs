//! The rule for names.

use crate::CodecError;

/// Longest name of one path step on Linux.
pub const NAME_MAX: usize = 255;

/// Accepts `name` if it can stand for one step down a path.
///
/// # Errors
/// [`CodecError::BadName`] if it is empty, `.`, `..`, longer than [`NAME_MAX`], or holds a slash or a NUL.
pub fn check_name(name: &[u8]) -> Result<&[u8], CodecError> {
    let fits = !name.is_empty() && name.len() <= NAME_MAX;
    if fits && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0) {
        Ok(name)
    } else {
        Err(CodecError::BadName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        let long = [b'a'; NAME_MAX + 1];
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"a\0b", b"../etc", &long] {
            assert_eq!(check_name(bad), Err(CodecError::BadName), "{}", bad.escape_ascii());
        }
        for good in [&b"a"[..], b"...", b".a", b"a b", b"\xff\xfe", &long[1..]] {
            assert_eq!(check_name(good), Ok(good));
        }
    }
}
