//! Random bytes (getrandom(2)).

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` with random bytes. Waits only on a host that has just booted.
///
/// # Panics
///
/// If the host has no getrandom: without it no program inside can have a secret.
pub fn random(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(done) => bytes = bytes.get_mut(done..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => unreachable!("getrandom: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        super::random(&mut a);
        super::random(&mut b);
        assert_ne!(a, b);
    }
}
