//! The types of `abi`, which lies on a lower floor and can't derive.

use abi::socket::Ucred;
use abi::{AddrRange, Errno, FpuState, Registers, SigAction, SigInfo, SigSet, Signal};
use abi::{Timespec, UserAddr};

use crate::{Load, Reader, Result, Save, Writer, print, savable_as};

savable_as! {
    UserAddr as u64, UserAddr::get, |n| Some(UserAddr::new(n)), "no address";
    SigSet as u64, |set| set.0, |bits| Some(SigSet(bits)), "no set of signals";
    Signal as u8, Signal::number, |n| Signal::new(n.into()), "no signal";
    Errno as u16, Errno::raw, errno, "no error number";
}

/// `from_raw` turns what is none into another error.
fn errno(number: u16) -> Option<Errno> {
    Some(Errno::from_raw(number.into())).filter(|errno| errno.raw() == number)
}

/// Structures with public fields. A field that is added to one does not compile here.
macro_rules! structs {
    ($($type:ident { $($field:ident)* })*) => { $(
        impl Save for $type {
            const PRINT: u64 = print::text(stringify!($type { $($field)* }));

            fn save(&self, w: &mut Writer<'_>) -> Result<()> {
                $(self.$field.save(w)?;)*
                Ok(())
            }
        }

        impl Load for $type {
            fn load(r: &mut Reader<'_>) -> Result<Self> {
                Ok(Self { $($field: Load::load(r)?,)* })
            }
        }
    )* };
}
structs! {
    AddrRange { start end }
    Timespec { sec nsec }
    Ucred { pid uid gid }
    SigAction { handler flags restorer mask }
    Registers {
        r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss
        fs_base gs_base ds es fs gs
    }
}

/// Written as the application sees it; what the kernel does not look at comes back as raw fields.
impl Save for SigInfo {
    const PRINT: u64 = print::text("siginfo");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        self.signal.save(w)?;
        w.raw(&self.to_bytes());
        Ok(())
    }
}

impl Load for SigInfo {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let signal = Signal::load(r)?;
        Ok(Self::from_bytes(signal, &Load::load(r)?))
    }
}

/// An XSAVE image in standard format: the same bytes on every platform.
impl Save for FpuState {
    const PRINT: u64 = print::text("xsave");

    fn save(&self, w: &mut Writer<'_>) -> Result<()> {
        w.bytes(self.as_bytes());
        Ok(())
    }
}

impl Load for FpuState {
    fn load(r: &mut Reader<'_>) -> Result<Self> {
        let bytes = r.bytes()?;
        let mut state = Self::initial(bytes.len());
        if state.as_bytes().len() != bytes.len() {
            return Err(r.bad("FPU state too short"));
        }
        state.as_bytes_mut().copy_from_slice(bytes);
        Ok(state)
    }
}
