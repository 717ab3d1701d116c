//! A damaged or hostile image is an error (or loads as other content): never a panic, a hang,
//! or an allocation out of proportion.

use std::sync::Arc;

use crate::kernel::{Kernel, registry, sample};
use state::{Cause, load, load_unchecked, save};

fn image() -> Vec<u8> {
    save(&registry(), &sample()).unwrap()
}

/// Loads without a look at the checksums.
fn decode(image: &[u8]) -> state::Result<Arc<Kernel>> {
    load_unchecked(&registry(), image)
}

#[test]
fn every_truncation_is_refused() {
    let image = image();
    for end in 0..image.len() {
        assert!(load::<Kernel>(&registry(), &image[..end]).is_err(), "cut at {end}");
        assert!(decode(&image[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn every_flipped_bit_is_refused_and_the_decoder_survives_it() {
    let image = image();
    for bit in 0..image.len() * 8 {
        let mut bytes = image.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(load::<Kernel>(&registry(), &bytes).is_err(), "bit {bit}");
        let _ = decode(&bytes);
    }
}

#[test]
fn the_decoder_survives_every_byte_at_every_place() {
    let image = image();
    let mut loaded = 0;
    for at in 0..image.len() {
        for byte in 0..=u8::MAX {
            let mut bytes = image.clone();
            bytes[at] = byte;
            loaded += u32::from(decode(&bytes).is_ok());
        }
    }
    // Each byte once unchanged, and some whose change is well-formed.
    assert!(loaded > u32::try_from(image.len()).unwrap());
}

#[test]
fn the_decoder_survives_many_changes_at_once() {
    let image = image();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for _ in 0..100_000 {
        let mut bytes = image.clone();
        for _ in 0..1 + next(8) {
            let at = 12 + next(image.len() - 12);
            match next(3) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)],
                _ => {
                    let from = 12 + next(image.len() - 12);
                    let length = next(16).min(image.len() - at.max(from));
                    bytes.copy_within(from..from + length, at);
                }
            }
        }
        let _ = decode(&bytes);
    }
}

/// The image with the section at `at` (its header) replaced.
fn with_section(index: usize, content: &[u8]) -> Vec<u8> {
    let image = image();
    let mut out = image[..12].to_vec();
    let mut left = &image[12..];
    for section in 0..3 {
        let length = usize::try_from(u64::from_le_bytes(left[..8].try_into().unwrap())).unwrap();
        let (own, rest) = left.split_at(12 + length);
        let own = if section == index { content } else { &own[12..] };
        out.extend_from_slice(&(own.len() as u64).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(own);
        left = rest;
    }
    out
}

fn what(image: &[u8]) -> &'static str {
    match decode(image).err().unwrap().cause() {
        Cause::Damaged { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn counts_beyond_the_end_are_refused_before_memory_is_asked_for() {
    // Types, then bytes of the early part of the first object.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(what(&with_section(0, &huge)), "count beyond the end");
    assert_eq!(what(&with_section(1, &huge)), "count beyond the end");
    assert_eq!(what(&with_section(2, &huge)), "count beyond the end");
    let objects = [&[0][..], &huge].concat();
    assert_eq!(what(&with_section(0, &objects)), "count beyond the end");
}

#[test]
fn an_image_of_no_objects_has_no_root() {
    let mut bytes = b"RUNSCIMG\x01\0\0\0".to_vec();
    for section in [&[0, 0][..], &[], &[]] {
        bytes.extend_from_slice(&(section.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(section);
    }
    assert_eq!(what(&bytes), "the root is of another type");
}

#[test]
fn errors_say_where_in_the_graph_and_in_the_image() {
    let image = image();
    let at = image.windows(4).position(|bytes| bytes == b"/tmp").unwrap();
    let mut bytes = image.clone();
    bytes[at] = 0xff;
    let error = decode(&bytes).err().unwrap();
    let text = format!("Kernel.mounts: damaged image: not UTF-8 (at byte {})", at + 4);
    assert_eq!(error.to_string(), text);
}
