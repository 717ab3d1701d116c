//! The CPU's time stamp counter (SDM vol. 3, 18.17).

use std::arch::x86_64::{__cpuid, _mm_lfence, _rdtsc};

/// Where Linux says which clock it uses.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Clocks of Linux that are made of a counter that is the same on all CPUs.
const COUNTERS: [&str; 3] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"];
/// CPUID leaf `0x8000_0007`, EDX: the counter's rate never changes.
const INVARIANT: u32 = 1 << 8;
/// CPUID leaf `0x8000_0001`, EDX: there is RDTSCP.
const RDTSCP: u32 = 1 << 27;

/// True if the counter can be a clock: its rate is constant, and the host does not distrust it.
/// Opens a file of the host where it can, so ask at start; where it can't, the CPU's word counts.
#[must_use]
pub fn is_steady() -> bool {
    let trusted = std::fs::read_to_string(CLOCK_SOURCE)
        .map_or(true, |source| COUNTERS.contains(&source.trim()));
    trusted && extended_features(0x8000_0007) & INVARIANT != 0
}

/// True if RDTSCP tells programs the number of the CPU they run on, as Linux arranges.
#[must_use]
pub fn tells_cpu() -> bool {
    extended_features(0x8000_0001) & RDTSCP != 0
}

/// The counter now: not before all earlier instructions are done. No host call.
#[must_use]
pub fn read() -> u64 {
    // SAFETY: a fence of SSE2, which every x86-64 CPU has.
    unsafe { _mm_lfence() };
    // SAFETY: every x86-64 CPU has it, and nobody has forbidden it to this process.
    unsafe { _rdtsc() }
}

/// EDX of an extended leaf of CPUID; 0 if the CPU does not have the leaf.
fn extended_features(leaf: u32) -> u32 {
    if __cpuid(0x8000_0000).eax >= leaf { __cpuid(leaf).edx } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_counter_goes_on() {
        let first = read();
        assert!(!is_steady() || read() >= first);
    }
}
