//! Whole images, through the public interface and the derives.
#![expect(clippy::unwrap_used, clippy::panic, reason = "so a test fails")]

mod damage;
mod deep;
mod graph;
mod kernel;
mod locks;
mod values;
mod versions;
