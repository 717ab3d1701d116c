//! 9P frames: what the decoders accept they can say again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_tests::p9_frame(bytes));
