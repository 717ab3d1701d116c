//! state-derive.
