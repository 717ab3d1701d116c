//! The registers of an application thread.

extern crate alloc;
use alloc::{boxed::Box, vec};

/// The general registers, in the order of `struct user_regs_struct` (sys/user.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "each field is the register of its name")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

impl Registers {
    /// The code segment selector of 64-bit user code.
    pub const USER_CS: u64 = 0x33;
    /// The stack segment selector of user code.
    pub const USER_SS: u64 = 0x2b;

    /// The registers with which a fresh program starts at `entry` with its stack at `stack`.
    #[must_use]
    pub fn for_exec(entry: u64, stack: u64) -> Self {
        Self {
            rip: entry,
            rsp: stack,
            cs: Self::USER_CS,
            ss: Self::USER_SS,
            eflags: 0x202,
            orig_rax: u64::MAX,
            ..Self::default()
        }
    }

    /// The six arguments of a system call.
    #[must_use]
    pub const fn syscall_args(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// Bytes of the legacy FXSAVE area (SDM vol. 1, 10.5.1).
const FXSAVE_BYTES: usize = 512;
/// Bytes of the XSAVE header that follows it (SDM vol. 1, 13.4.2).
const XSAVE_HEADER_BYTES: usize = 64;

/// The FPU, SSE and AVX registers: an XSAVE image in standard (non-compacted) format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FpuState {
    image: Box<[u8]>,
}

impl FpuState {
    /// The state of a fresh program in an image of `size_bytes` (at least 576).
    #[must_use]
    pub fn initial(size_bytes: usize) -> Self {
        let mut image = vec![0; size_bytes.max(FXSAVE_BYTES + XSAVE_HEADER_BYTES)];
        // FCW = 0x37f and MXCSR = 0x1f80 are the reset values (SDM vol. 1, 8.1.5 and 11.6.4).
        image[0..2].copy_from_slice(&0x037f_u16.to_le_bytes());
        image[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        // XSTATE_BV: x87 and SSE are in the image.
        image[FXSAVE_BYTES] = 3;
        Self { image: image.into_boxed_slice() }
    }

    /// The image.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.image
    }

    /// The image, to be filled by a platform or from a checked signal frame.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.image
    }
}

impl Default for FpuState {
    fn default() -> Self {
        Self::initial(FXSAVE_BYTES + XSAVE_HEADER_BYTES)
    }
}
