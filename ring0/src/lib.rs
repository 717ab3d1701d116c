//! ring0.
