//! vmm.
