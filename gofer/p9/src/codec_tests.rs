//! Every message, and every kind of damage to it.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::{any, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

use crate::sample::Bits;
use crate::{CodecError, HEADER, Header, RMessage, Rreaddirx, Str, TMessage, Twalk, frame_size};

/// Checks for one side; both sides have the same methods but no trait.
macro_rules! checks {
    ($name:ident, $message:ident) => {
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn every_message_comes_back(seed in any::<u64>(), tag in any::<u16>()) {
                    for (kind, name) in $message::KINDS {
                        let message = $message::sample(*kind, &mut Bits(seed)).unwrap();
                        prop_assert_eq!(message.name(), *name);
                        let mut frame = Vec::new();
                        message.encode(tag, &mut frame).unwrap();
                        let header = Header::of(&frame).unwrap();
                        prop_assert_eq!((header.kind, header.tag), (*kind, tag));
                        prop_assert_eq!($message::decode(&frame), Ok((tag, message)));
                    }
                }

                #[test]
                fn a_cut_or_lengthened_frame_is_refused(seed in any::<u64>(), cut in any::<u64>()) {
                    for (kind, name) in $message::KINDS {
                        let message = $message::sample(*kind, &mut Bits(seed)).unwrap();
                        let mut frame = Vec::new();
                        message.encode(1, &mut frame).unwrap();
                        let keep = usize::try_from(cut % frame.len() as u64).unwrap();
                        prop_assert!($message::decode(&frame[..keep]).is_err(), "{} cut", name);
                        // With a size that says what is there, the damage must show in the fields.
                        if keep >= HEADER {
                            let cut = resized(&frame[..keep]);
                            prop_assert!($message::decode(&cut).is_err(), "{} short", name);
                        }
                        frame.push(0);
                        prop_assert_eq!($message::decode(&frame), Err(CodecError::BadSize));
                        prop_assert!($message::decode(&resized(&frame)).is_err(), "{} long", name);
                    }
                }

                #[test]
                fn garbage_is_a_message_or_an_error(
                    seed in any::<u64>(),
                    noise in collection::vec(any::<u8>(), 0..300),
                ) {
                    drop($message::decode(&noise));
                    for (kind, _) in $message::KINDS {
                        let mut frame = vec![0, 0, 0, 0, *kind, 1, 2];
                        frame.extend_from_slice(&noise);
                        again(&resized(&frame))?;
                        // A good frame with one byte changed.
                        let mut frame = Vec::new();
                        $message::sample(*kind, &mut Bits(seed)).unwrap().encode(1, &mut frame).unwrap();
                        let at = usize::try_from(seed % frame.len() as u64).unwrap();
                        frame[at] ^= noise.first().copied().unwrap_or(1);
                        again(&frame)?;
                    }
                }
            }

            /// What decodes is canonical: its encoding is the frame it came from.
            fn again(frame: &[u8]) -> Result<(), proptest::test_runner::TestCaseError> {
                if let Ok((tag, message)) = $message::decode(frame) {
                    let mut out = Vec::new();
                    message.encode(tag, &mut out).unwrap();
                    prop_assert_eq!(out, frame);
                }
                Ok(())
            }
        }
    };
}
checks!(requests, TMessage);
checks!(replies, RMessage);

/// The frame with the size that it has.
fn resized(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let size = u32::try_from(frame.len()).unwrap();
    frame[..4].copy_from_slice(&size.to_le_bytes());
    frame
}

#[test]
fn type_numbers_are_unique_and_answers_are_one_more_than_questions() {
    for (kind, name) in TMessage::KINDS {
        let answer = RMessage::KINDS.iter().find(|(k, _)| *k == kind + 1).unwrap();
        assert_eq!(name[1..], answer.1[1..]);
        assert_eq!(TMessage::KINDS.iter().filter(|(k, _)| k == kind).count(), 1);
    }
    assert_eq!(RMessage::KINDS.len(), TMessage::KINDS.len() + 1, "Rlerror has no question");
}

#[test]
fn a_count_that_the_frame_cannot_hold_is_refused_at_once() {
    // Twalk with 65,535 names announced and none there.
    let frame = [17, 0, 0, 0, 110, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff];
    assert_eq!(TMessage::decode(&frame), Err(CodecError::Truncated));
    // Rreaddirx with 4 GiB of entries announced.
    let frame = [11, 0, 0, 0, 145, 1, 0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(RMessage::decode(&frame), Err(CodecError::Truncated));
    let frame = [11, 0, 0, 0, 145, 1, 0, 0, 0, 0, 0];
    assert_eq!(RMessage::decode(&frame), Ok((1, Rreaddirx::default().into())));
}

#[test]
fn what_has_no_form_leaves_the_buffer_as_it_was() {
    assert_eq!(Str::new(vec![b'a'; 65_536]), Err(CodecError::TooLong));
    let walk = Twalk { fid: 1, newfid: 2, wnames: vec![Str::default(); 65_536] };
    let mut out = vec![7; 3];
    assert_eq!(TMessage::from(walk).encode(1, &mut out), Err(CodecError::TooLong));
    assert_eq!(out, [7; 3]);
}

#[test]
fn the_size_of_a_frame_is_known_from_its_first_four_bytes() {
    assert_eq!(frame_size(&[], 8192), Ok(None));
    assert_eq!(frame_size(&[0, 1, 0], 8192), Ok(None));
    assert_eq!(frame_size(&[0, 1, 0, 0, 9], 8192), Ok(Some(256)));
    assert_eq!(frame_size(&[6, 0, 0, 0], 8192), Err(CodecError::BadSize));
    assert_eq!(frame_size(&[1, 0x20, 0, 0], 8192), Err(CodecError::BadSize));
    assert_eq!(frame_size(&[0xff; 4], u32::MAX), Ok(Some(0xffff_ffff)));
}
