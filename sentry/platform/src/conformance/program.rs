//! A very small assembler.

/// A general register, by its number in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the register of its name")]
pub enum Reg {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    R12 = 12,
    R15 = 15,
}

/// Machine code.
#[derive(Clone, Debug, Default)]
pub struct Program(Vec<u8>);

impl Program {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.0
    }

    /// The offset of what comes next.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.0.len() as u64
    }

    /// Appends instructions as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `mov reg, value`
    #[must_use]
    pub fn set(self, reg: Reg, value: u64) -> Self {
        let number = reg as u8;
        self.raw(&[0x48 | (number >> 3), 0xb8 | (number & 7)]).raw(&value.to_le_bytes())
    }

    /// `syscall` with this number; the arguments are what they are.
    #[must_use]
    pub fn call(self, number: u32) -> Self {
        self.raw(&[0xb8]).raw(&number.to_le_bytes()).raw(&[0x0f, 0x05])
    }

    /// `mov rax, [rbx]`
    #[must_use]
    pub fn load(self) -> Self {
        self.raw(&[0x48, 0x8b, 0x03])
    }

    /// `mov [rbx], rax`
    #[must_use]
    pub fn store(self) -> Self {
        self.raw(&[0x48, 0x89, 0x03])
    }

    /// `lock inc qword [rbx]`
    #[must_use]
    pub fn increment(self) -> Self {
        self.raw(&[0xf0, 0x48, 0xff, 0x03])
    }

    /// `jmp rbx`
    #[must_use]
    pub fn jump_rbx(self) -> Self {
        self.raw(&[0xff, 0xe3])
    }

    /// `ud2`
    #[must_use]
    pub fn crash(self) -> Self {
        self.raw(&[0x0f, 0x0b])
    }

    /// `jne` over a `ud2` that is only met when the last comparison failed.
    #[must_use]
    pub fn crash_unless_equal(self) -> Self {
        self.raw(&[0x74, 0x02]).crash()
    }

    /// `jmp` to an offset.
    #[must_use]
    pub fn jump(self, to: u64) -> Self {
        let distance = to as i64 - (self.here() as i64 + 5);
        self.raw(&[0xe9]).raw(&(distance as i32).to_le_bytes())
    }

    /// Fills with `nop` up to an offset.
    #[must_use]
    pub fn pad(mut self, to: u64) -> Self {
        while self.here() < to {
            self.0.push(0x90);
        }
        self
    }
}
