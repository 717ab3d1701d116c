//! Bounded fuzzing of every border, as ordinary tests.
#![forbid(unsafe_code)]
