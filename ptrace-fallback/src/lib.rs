//! ptrace-fallback.
