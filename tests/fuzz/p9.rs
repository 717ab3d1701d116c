//! Frames made of random bytes behind an honest header.
#![forbid(unsafe_code)]

use fuzz_tests::{Dice, p9_frame};

const ROUNDS: usize = 200_000;

/// A frame of type `kind` with a body of random bytes, short lengths where lengths may stand.
fn frame(dice: &mut Dice, kind: u8) -> Vec<u8> {
    let len = dice.below(120);
    let body: Vec<u8> =
        (0..len).map(|at| if at % 2 == 1 && dice.below(3) > 0 { 0 } else { dice.byte() }).collect();
    let size = u32::try_from(7 + body.len()).unwrap_or(u32::MAX);
    let mut bytes = size.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend([1, 0]);
    bytes.extend(body);
    bytes
}

#[test]
fn random_bodies_of_every_kind_are_refused_or_said_again() {
    let kinds: Vec<u8> =
        p9::TMessage::KINDS.iter().chain(p9::RMessage::KINDS).map(|(kind, _)| *kind).collect();
    let mut dice = Dice::new(1);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let bytes = frame(&mut dice, kinds[round % kinds.len()]);
        accepted += usize::from(p9::TMessage::decode(&bytes).is_ok());
        p9_frame(&bytes);
    }
    // Else the test would only ever see refusals.
    assert!(accepted > ROUNDS / 1000, "{accepted} of {ROUNDS} accepted");
}

#[test]
fn any_bytes_at_all_are_survived() {
    let mut dice = Dice::new(2);
    for _ in 0..ROUNDS {
        let len = dice.below(64);
        p9_frame(&(0..len).map(|_| dice.byte()).collect::<Vec<u8>>());
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_an_accepted_frame_is_survived() {
    let mut dice = Dice::new(3);
    let mut tried = 0;
    while tried < 300 {
        let kind = p9::TMessage::KINDS[dice.below(p9::TMessage::KINDS.len())].0;
        let bytes = frame(&mut dice, kind);
        if p9::TMessage::decode(&bytes).is_err() {
            continue;
        }
        tried += 1;
        (0..bytes.len()).for_each(|cut| p9_frame(&bytes[..cut]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            p9_frame(&flipped);
        }
    }
}
