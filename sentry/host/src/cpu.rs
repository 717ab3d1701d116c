//! What the CPU can do, for the auxiliary vector of programs inside (getauxval(3)). No host call.

/// `HWCAP2_FSGSBASE` (asm/hwcap2.h): programs may use RDFSBASE and its like.
const HWCAP2_FSGSBASE: u64 = 2;

/// `AT_HWCAP`: the EDX of CPUID leaf 1. Asked of the CPU, since glibc's getauxval answers with
/// flags of its own instead of the kernel's.
#[must_use]
pub fn hwcap() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx)
}

/// `AT_HWCAP2`, as far as it holds for programs inside: whether they may use RDFSBASE.
#[must_use]
pub fn hwcap2() -> u64 {
    auxiliary(libc::AT_HWCAP2) & HWCAP2_FSGSBASE
}

fn auxiliary(key: libc::c_ulong) -> u64 {
    // SAFETY: getauxval takes any number and reads a vector that never changes.
    unsafe { libc::getauxval(key) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_x86_64_cpu_has_sse2() {
        assert_ne!(super::hwcap() & 1 << 26, 0);
    }
}
