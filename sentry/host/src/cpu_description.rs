//! What the CPU says of itself, for `/proc/cpuinfo`.

use std::fmt::Write as _;

/// A description of the CPU that we run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuDescription {
    /// `GenuineIntel`, `AuthenticAMD`, …
    pub vendor: String,
    /// Brand string.
    pub name: String,
    /// Family.
    pub family: u32,
    /// Model.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Rough clock rate.
    pub mhz: u32,
    /// Features as `/proc/cpuinfo` names them.
    pub flags: String,
}

/// Bits of CPUID leaf 1, EDX and ECX, and of leaf 7, EBX (SDM vol. 2, CPUID), that programs look for.
const LEAF_1_EDX: &[(u32, &str)] = &[
    (0, "fpu"),
    (1, "vme"),
    (2, "de"),
    (3, "pse"),
    (4, "tsc"),
    (5, "msr"),
    (6, "pae"),
    (7, "mce"),
    (8, "cx8"),
    (9, "apic"),
    (11, "sep"),
    (12, "mtrr"),
    (13, "pge"),
    (14, "mca"),
    (15, "cmov"),
    (16, "pat"),
    (17, "pse36"),
    (19, "clflush"),
    (23, "mmx"),
    (24, "fxsr"),
    (25, "sse"),
    (26, "sse2"),
    (27, "ss"),
    (28, "ht"),
];
const LEAF_1_ECX: &[(u32, &str)] = &[
    (0, "pni"),
    (1, "pclmulqdq"),
    (9, "ssse3"),
    (12, "fma"),
    (13, "cx16"),
    (17, "pcid"),
    (19, "sse4_1"),
    (20, "sse4_2"),
    (21, "x2apic"),
    (22, "movbe"),
    (23, "popcnt"),
    (25, "aes"),
    (26, "xsave"),
    (28, "avx"),
    (29, "f16c"),
    (30, "rdrand"),
    (31, "hypervisor"),
];
const LEAF_7_EBX: &[(u32, &str)] = &[
    (0, "fsgsbase"),
    (3, "bmi1"),
    (5, "avx2"),
    (7, "smep"),
    (8, "bmi2"),
    (9, "erms"),
    (10, "invpcid"),
    (16, "avx512f"),
    (17, "avx512dq"),
    (18, "rdseed"),
    (19, "adx"),
    (20, "smap"),
    (23, "clflushopt"),
    (28, "avx512cd"),
    (29, "sha_ni"),
    (30, "avx512bw"),
    (31, "avx512vl"),
];
const EXTENDED_EDX: &[(u32, &str)] =
    &[(11, "syscall"), (20, "nx"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm")];

fn bytes(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned()
}

/// Asks the CPU. Makes no host call.
#[must_use]
pub fn describe_cpu() -> CpuDescription {
    use std::arch::x86_64::__cpuid as cpuid;
    let (zero, one, seven) = (cpuid(0), cpuid(1), cpuid(7));
    let extended = cpuid(0x8000_0001);
    let brand = (0x8000_0002..=0x8000_0004).map(cpuid);
    let name: Vec<u32> = brand.flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]).collect();
    let base_family = one.eax >> 8 & 0xf;
    let family =
        if base_family == 0xf { base_family + (one.eax >> 20 & 0xff) } else { base_family };
    let mut flags = String::new();
    for (register, names) in [
        (one.edx, LEAF_1_EDX),
        (extended.edx, EXTENDED_EDX),
        (one.ecx, LEAF_1_ECX),
        (seven.ebx, LEAF_7_EBX),
    ] {
        for (_, name) in names.iter().filter(|(bit, _)| register >> bit & 1 != 0) {
            let _ = write!(flags, "{}{name}", if flags.is_empty() { "" } else { " " });
        }
    }
    let mhz = match cpuid(0x16).eax & 0xffff {
        0 => 2000,
        mhz if zero.eax >= 0x16 => mhz,
        _ => 2000,
    };
    CpuDescription {
        vendor: bytes(&[zero.ebx, zero.edx, zero.ecx]),
        name: bytes(&name),
        family,
        model: (one.eax >> 4 & 0xf) | (one.eax >> 12 & 0xf0),
        stepping: one.eax & 0xf,
        mhz,
        flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_x86_64_cpu_has_a_vendor_and_long_mode() {
        let cpu = describe_cpu();
        assert_eq!(cpu.vendor.len(), 12);
        assert!(cpu.flags.split(' ').any(|flag| flag == "lm"), "{cpu:?}");
    }
}
