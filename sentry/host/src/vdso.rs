//! Code that runs in applications: the functions of the vDSO. Here it is data, never called.
//!
//! The code lies in one page, with the page of [`data`] right below it. It keeps to registers that
//! a C function may change and leaves the stack alone.

/// Offsets in the data page. All words are little-endian.
pub mod data {
    /// u32: odd while the words below change.
    pub const SEQUENCE: usize = 0;
    /// u32: bit N is set if clock N (`clock_gettime(2)`, 0 to 7) can be read here.
    pub const CLOCKS: usize = 4;
    /// u64: the counter at the time of the words at `BASES`.
    pub const COUNTER: usize = 8;
    /// u64: nanoseconds per tick of the counter, times 2^32.
    pub const MULTIPLIER: usize = 16;
    /// u64: for how many ticks after `COUNTER` that holds.
    pub const VALID: usize = 24;
    /// u32: 1 if the CPU number can be read here.
    pub const CPUS: usize = 32;
    /// Eight u64: nanoseconds of each clock.
    pub const BASES: usize = 64;
    /// u16 for each CPU of the host: the number that applications see, `u16::MAX` if none.
    pub const CPU_MAP: usize = 2048;
    /// How many CPUs of the host the map has room for.
    pub const CPU_COUNT: usize = 1024;
}

/// The functions, in the order of their code.
pub const FUNCTIONS: [&str; 4] =
    ["__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu"];

// In: the number of the clock in ecx. Out: its nanoseconds in rax; jumps to \fail if it can't be
// read here. Changes rcx, rdx, r8 to r11.
core::arch::global_asm!(
    ".pushsection .rodata.sandbox_vdso, \"a\", @progbits",
    ".macro sandbox_vdso_now fail",
    "lea r8, [rip]",
    "and r8, -4096",
    "sub r8, 4096",
    "cmp ecx, 7",
    "ja \\fail",
    "mov r11d, ecx",
    "2:",
    "mov r9d, dword ptr [r8 + {SEQUENCE}]",
    "test r9d, 1",
    "jz 3f",
    "pause",
    "jmp 2b",
    "3:",
    "mov eax, dword ptr [r8 + {CLOCKS}]",
    "bt eax, r11d",
    "jnc \\fail",
    "mov r10, qword ptr [r8 + {BASES} + r11 * 8]",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, qword ptr [r8 + {COUNTER}]",
    // The counter went back, or too far on: the difference is great in both cases.
    "cmp rax, qword ptr [r8 + {VALID}]",
    "seta cl",
    "mul qword ptr [r8 + {MULTIPLIER}]",
    "shrd rax, rdx, 32",
    "add rax, r10",
    "cmp r9d, dword ptr [r8 + {SEQUENCE}]",
    "jne 2b",
    "test cl, cl",
    "jnz \\fail",
    ".endm",
    // rax: nanoseconds -> rax: seconds, rdx: the rest.
    ".macro sandbox_vdso_split",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    ".endm",
    ".balign 16",
    ".globl sandbox_vdso_code",
    ".hidden sandbox_vdso_code",
    "sandbox_vdso_code:",
    // int clock_gettime(clockid_t edi, struct timespec *rsi)
    ".globl sandbox_vdso_clock_gettime",
    ".hidden sandbox_vdso_clock_gettime",
    "sandbox_vdso_clock_gettime:",
    "mov ecx, edi",
    "sandbox_vdso_now 9f",
    "sandbox_vdso_split",
    "mov qword ptr [rsi], rax",
    "mov qword ptr [rsi + 8], rdx",
    "xor eax, eax",
    "ret",
    "9:",
    "mov eax, 228",
    "syscall",
    "ret",
    // int gettimeofday(struct timeval *rdi, struct timezone *rsi)
    ".balign 16",
    ".globl sandbox_vdso_gettimeofday",
    ".hidden sandbox_vdso_gettimeofday",
    "sandbox_vdso_gettimeofday:",
    "xor ecx, ecx",
    "sandbox_vdso_now 9f",
    "test rdi, rdi",
    "jz 4f",
    "sandbox_vdso_split",
    "mov qword ptr [rdi], rax",
    "mov eax, edx",
    "xor edx, edx",
    "mov ecx, 1000",
    "div ecx",
    "mov qword ptr [rdi + 8], rax",
    "4:",
    "test rsi, rsi",
    "jz 5f",
    "mov qword ptr [rsi], 0",
    "5:",
    "xor eax, eax",
    "ret",
    "9:",
    "mov eax, 96",
    "syscall",
    "ret",
    // time_t time(time_t *rdi)
    ".balign 16",
    ".globl sandbox_vdso_time",
    ".hidden sandbox_vdso_time",
    "sandbox_vdso_time:",
    "xor ecx, ecx",
    "sandbox_vdso_now 9f",
    "sandbox_vdso_split",
    "test rdi, rdi",
    "jz 4f",
    "mov qword ptr [rdi], rax",
    "4:",
    "ret",
    "9:",
    "mov eax, 201",
    "syscall",
    "ret",
    // long getcpu(unsigned *rdi, unsigned *rsi, void *)
    ".balign 16",
    ".globl sandbox_vdso_getcpu",
    ".hidden sandbox_vdso_getcpu",
    "sandbox_vdso_getcpu:",
    "lea r8, [rip]",
    "and r8, -4096",
    "sub r8, 4096",
    "cmp dword ptr [r8 + {CPUS}], 0",
    "je 9f",
    // Linux keeps the number of the CPU in the low 12 bits of IA32_TSC_AUX.
    "rdtscp",
    "and ecx, 0xfff",
    "cmp ecx, {CPU_COUNT}",
    "jae 9f",
    "movzx eax, word ptr [r8 + rcx * 2 + {CPU_MAP}]",
    "cmp eax, 0xffff",
    "je 9f",
    "test rdi, rdi",
    "jz 4f",
    "mov dword ptr [rdi], eax",
    "4:",
    "test rsi, rsi",
    "jz 5f",
    "mov dword ptr [rsi], 0",
    "5:",
    "xor eax, eax",
    "ret",
    "9:",
    "xor edx, edx",
    "mov eax, 309",
    "syscall",
    "ret",
    ".globl sandbox_vdso_end",
    ".hidden sandbox_vdso_end",
    "sandbox_vdso_end:",
    ".popsection",
    SEQUENCE = const data::SEQUENCE,
    CLOCKS = const data::CLOCKS,
    COUNTER = const data::COUNTER,
    MULTIPLIER = const data::MULTIPLIER,
    VALID = const data::VALID,
    CPUS = const data::CPUS,
    BASES = const data::BASES,
    CPU_MAP = const data::CPU_MAP,
    CPU_COUNT = const data::CPU_COUNT,
);

// SAFETY: the names are those of the assembly above; each is a place in one read-only block.
unsafe extern "C" {
    safe static sandbox_vdso_code: u8;
    safe static sandbox_vdso_clock_gettime: u8;
    safe static sandbox_vdso_gettimeofday: u8;
    safe static sandbox_vdso_time: u8;
    safe static sandbox_vdso_getcpu: u8;
    safe static sandbox_vdso_end: u8;
}

/// The machine code of all functions: it may be placed at any multiple of 16 in its page.
#[must_use]
pub fn code() -> &'static [u8] {
    let start = &raw const sandbox_vdso_code;
    let len = offset(&raw const sandbox_vdso_end);
    // SAFETY: all bytes between the two labels are initialised, read-only data of this program.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// Where each of [`FUNCTIONS`] begins in [`code`].
#[must_use]
pub fn entries() -> [usize; FUNCTIONS.len()] {
    [
        &raw const sandbox_vdso_clock_gettime,
        &raw const sandbox_vdso_gettimeofday,
        &raw const sandbox_vdso_time,
        &raw const sandbox_vdso_getcpu,
    ]
    .map(offset)
}

fn offset(place: *const u8) -> usize {
    place.addr().saturating_sub((&raw const sandbox_vdso_code).addr())
}

#[cfg(test)]
mod tests;
