//! The contract, on this platform.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use host::MemoryObject;
use platform::conformance::{EXECUTORS, MEMORY_BYTES, TestBed};
use ptrace_fallback::Ptrace;

fn bed() -> TestBed {
    let memory = Arc::new(MemoryObject::new(MEMORY_BYTES).unwrap());
    TestBed { platform: Ptrace::new(memory.clone(), EXECUTORS).unwrap(), memory }
}

platform::conformance!(bed);
