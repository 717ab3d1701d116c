//! Signal frames on the application's stack: the layout of Linux' `struct rt_sigframe` for x86-64
//! (sigreturn(2); asm/sigcontext.h, asm/ucontext.h).

use abi::{Errno, Registers, SigAction, SigInfo, SigSet, UserAddr};

use crate::task::Cx;

/// `struct ucontext` of the kernel: flags, link, stack, `struct sigcontext`, mask.
const UCONTEXT_BYTES: usize = 304;
/// Return address, ucontext, siginfo.
const FRAME_BYTES: usize = 8 + UCONTEXT_BYTES + SigInfo::BYTES;
/// Where `struct sigcontext` begins in the frame.
const MCONTEXT_AT: usize = 8 + 40;
/// Below the stack pointer, leaf functions may keep data (System V ABI, "red zone").
const RED_ZONE_BYTES: u64 = 128;
/// Where the software-defined bytes are in an FXSAVE image.
const SW_RESERVED_AT: usize = 464;
/// `FP_XSTATE_MAGIC1`.
const MAGIC1: u32 = 0x4650_5853;
/// `FP_XSTATE_MAGIC2`.
const MAGIC2: u32 = 0x4650_5845;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 7;
/// Flags that a frame may change (Linux' `FIX_EFLAGS`): AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF.
const FLAGS_MASK: u64 = 0x0005_0dd5;
/// The trap flag.
const FLAG_TF: u64 = 0x100;
/// The direction flag.
const FLAG_DF: u64 = 0x400;

/// An alternate signal stack (sigaltstack(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
    /// `SS_*` flags: 2 disabled, `SS_AUTODISARM`.
    pub flags: u32,
}

impl AltStack {
    /// `SS_DISABLE`.
    pub const DISABLE: u32 = 2;
    /// `SS_AUTODISARM`.
    pub const AUTODISARM: u32 = 1 << 31;

    /// True if `sp` lies on it.
    #[must_use]
    pub const fn contains(&self, sp: u64) -> bool {
        self.flags & Self::DISABLE == 0 && sp > self.base && sp - self.base <= self.size
    }
}

impl Default for AltStack {
    fn default() -> Self {
        Self { base: 0, size: 0, flags: Self::DISABLE }
    }
}

/// Builds a frame and lets the handler run next.
pub(super) fn push(
    cx: &mut Cx<'_>,
    info: SigInfo,
    action: SigAction,
    mask: SigSet,
) -> Result<(), Errno> {
    if action.flags & SigAction::SA_RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    cx.save_fpu()?;
    let alt = *cx.task.alt_stack.lock();
    let mut sp = cx.user.regs.rsp.wrapping_sub(RED_ZONE_BYTES);
    let on_alt = alt.contains(cx.user.regs.rsp) && alt.flags & AltStack::AUTODISARM == 0;
    if action.flags & SigAction::SA_ONSTACK != 0 && alt.flags & AltStack::DISABLE == 0 && !on_alt {
        sp = alt.base.wrapping_add(alt.size);
    }
    let switched = sp == alt.base.wrapping_add(alt.size);
    let image = fpu_image(cx);
    sp = sp.wrapping_sub(image.len() as u64) & !63;
    let fpu_at = sp;
    let frame_at = (sp.wrapping_sub(FRAME_BYTES as u64) & !15).wrapping_sub(8);
    if (switched || on_alt) && frame_at < alt.base {
        return Err(Errno::EFAULT);
    }
    let frame = build(cx, &info, &action, mask, fpu_at, alt);
    cx.mm.write(UserAddr::new(fpu_at), &image)?;
    cx.mm.write(UserAddr::new(frame_at), &frame)?;
    if alt.flags & AltStack::AUTODISARM != 0 {
        *cx.task.alt_stack.lock() = AltStack::default();
    }
    enter_handler(cx, &info, &action, frame_at);
    Ok(())
}

fn enter_handler(cx: &mut Cx<'_>, info: &SigInfo, action: &SigAction, frame_at: u64) {
    let regs = &mut cx.user.regs;
    regs.rdi = u64::from(info.signal.number());
    regs.rsi = frame_at + (8 + UCONTEXT_BYTES) as u64;
    regs.rdx = frame_at + 8;
    regs.rax = 0;
    regs.rip = action.handler;
    regs.rsp = frame_at;
    regs.cs = Registers::USER_CS;
    regs.ss = Registers::USER_SS;
    regs.eflags &= !(FLAG_DF | FLAG_TF);
    regs.orig_rax = u64::MAX;
}

/// The XSAVE image with the software bytes that tell sigreturn(2) its size.
fn fpu_image(cx: &Cx<'_>) -> Vec<u8> {
    let mut image = cx.user.fpu.as_bytes().to_vec();
    let size = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let features = xfeatures(&image);
    put(&mut image, SW_RESERVED_AT, &MAGIC1.to_le_bytes());
    put(&mut image, SW_RESERVED_AT + 4, &size.saturating_add(4).to_le_bytes());
    put(&mut image, SW_RESERVED_AT + 8, &features.to_le_bytes());
    put(&mut image, SW_RESERVED_AT + 16, &size.to_le_bytes());
    image.extend_from_slice(&MAGIC2.to_le_bytes());
    image
}

/// The state components that the platform's images can hold: a platform leaves the mask in the
/// software bytes, as Linux does for `NT_X86_XSTATE`; without it, x87 and SSE.
fn xfeatures(image: &[u8]) -> u64 {
    match word(image, SW_RESERVED_AT) {
        0 => 3,
        mask => mask,
    }
}

fn build(
    cx: &Cx<'_>,
    info: &SigInfo,
    action: &SigAction,
    mask: SigSet,
    fpu_at: u64,
    alt: AltStack,
) -> [u8; FRAME_BYTES] {
    let regs = &cx.user.regs;
    let mut frame = [0; FRAME_BYTES];
    put(&mut frame, 0, &action.restorer.to_le_bytes());
    put(&mut frame, 8, &UC_FLAGS.to_le_bytes());
    put(&mut frame, 24, &alt.base.to_le_bytes());
    put(&mut frame, 32, &alt.flags.to_le_bytes());
    put(&mut frame, 40, &alt.size.to_le_bytes());
    let segments = (regs.cs & 0xffff) | (regs.ss & 0xffff) << 48;
    let (err, trapno, cr2) = cx.fault_record();
    let words = [
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.eflags,
        segments,
        err,
        trapno,
        mask.0,
        cr2,
        fpu_at,
    ];
    for (index, value) in words.iter().enumerate() {
        put(&mut frame, MCONTEXT_AT + index * 8, &value.to_le_bytes());
    }
    put(&mut frame, MCONTEXT_AT + 256, &mask.0.to_le_bytes());
    put(&mut frame, 8 + UCONTEXT_BYTES, &info.to_bytes());
    frame
}

impl Cx<'_> {
    /// `rt_sigreturn(2)`: goes back to what the frame at the stack pointer says. Everything in it
    /// may be forged; nothing of it can give more than user rights.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no frame: the caller then forces SIGSEGV.
    pub fn signal_return(&mut self) -> Result<(), Errno> {
        let frame_at = self.user.regs.rsp.wrapping_sub(8);
        let mut frame = [0; FRAME_BYTES];
        self.mm.read(UserAddr::new(frame_at), &mut frame)?;
        let at = |index: usize| word(&frame, MCONTEXT_AT + index * 8);
        let regs = &mut self.user.regs;
        let targets = [
            &mut regs.r8,
            &mut regs.r9,
            &mut regs.r10,
            &mut regs.r11,
            &mut regs.r12,
            &mut regs.r13,
            &mut regs.r14,
            &mut regs.r15,
            &mut regs.rdi,
            &mut regs.rsi,
            &mut regs.rbp,
            &mut regs.rbx,
            &mut regs.rdx,
            &mut regs.rax,
            &mut regs.rcx,
            &mut regs.rsp,
            &mut regs.rip,
        ];
        for (index, target) in targets.into_iter().enumerate() {
            *target = at(index);
        }
        regs.eflags = (regs.eflags & !FLAGS_MASK) | (at(17) & FLAGS_MASK);
        regs.cs = Registers::USER_CS;
        regs.ss = Registers::USER_SS;
        regs.orig_rax = u64::MAX;
        self.restore_fpu(at(23))?;
        self.task.set_blocked(SigSet(word(&frame, MCONTEXT_AT + 256)));
        let alt = AltStack {
            base: word(&frame, 24),
            size: word(&frame, 40),
            flags: u32::try_from(word(&frame, 32) & 0xffff_ffff).unwrap_or(AltStack::DISABLE),
        };
        let now = *self.task.alt_stack.lock();
        if !now.contains(self.user.regs.rsp) {
            *self.task.alt_stack.lock() = alt;
        }
        Ok(())
    }

    fn restore_fpu(&mut self, addr: u64) -> Result<(), Errno> {
        if addr == 0 {
            self.user.fpu = abi::FpuState::initial(self.user.fpu.as_bytes().len());
            self.user.fpu_changed = true;
            return Ok(());
        }
        // The mask of valid components is ours, not the frame's.
        self.save_fpu()?;
        let features = xfeatures(self.user.fpu.as_bytes());
        let mut image = vec![0; self.user.fpu.as_bytes().len()];
        let (legacy, _) = image.split_at_mut(512);
        self.mm.read(UserAddr::new(addr), legacy)?;
        let magic = word(&image, SW_RESERVED_AT) & 0xffff_ffff == u64::from(MAGIC1);
        let size = word(&image, SW_RESERVED_AT + 16) & 0xffff_ffff;
        if magic && size == image.len() as u64 {
            self.mm.read(UserAddr::new(addr), &mut image)?;
        } else {
            put(&mut image, 512, &3_u64.to_le_bytes());
        }
        sanitize(&mut image, features);
        self.user.fpu.as_bytes_mut().copy_from_slice(&image);
        self.user.fpu_changed = true;
        Ok(())
    }
}

/// Makes an XSAVE image loadable whatever it held: XRSTOR faults on reserved bits of MXCSR and of
/// the header (SDM vol. 1, 13.8.1).
fn sanitize(image: &mut [u8], features: u64) {
    let mxcsr = word(image, 24) & 0xffff;
    put(image, 24, &mxcsr.to_le_bytes()[..4]);
    let present = word(image, 512) & features;
    put(image, 512, &present.to_le_bytes());
    put(image, 520, &[0; 56]);
    put(image, SW_RESERVED_AT, &features.to_le_bytes());
    put(image, SW_RESERVED_AT + 8, &[0; 40]);
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in buffer.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

fn word(buffer: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(buffer.iter().skip(at)) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}
