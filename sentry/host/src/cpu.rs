//! What the CPU can do, as the host's kernel has put it into the auxiliary vector (getauxval(3)).
//! No host call.

/// `HWCAP2_FSGSBASE` (asm/hwcap2.h): programs may use RDFSBASE and its like.
const HWCAP2_FSGSBASE: u64 = 2;

/// `AT_HWCAP`: the EDX of CPUID leaf 1.
#[must_use]
pub fn hwcap() -> u64 {
    auxiliary(libc::AT_HWCAP)
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
