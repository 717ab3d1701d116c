//! Loading programs: ELF, scripts, the first stack, the vDSO (execve(2), elf(5)).

mod elf;
mod image;
mod placement;
mod program;
mod script;
mod stack;
mod vdso;

use std::sync::Arc;

pub(crate) use self::vdso::Page as VdsoPage;
pub use self::vdso::Vdso;

use abi::{Errno, PAGE_SIZE, UserAddr, auxv};
use auth::{Capability, Credentials};
use mm::{Fixed, MapRequest, Mappable, MemoryManager};
use platform::Protection;
use vfs::{Ctx, OpenFile, Path};

use self::{
    image::Place,
    placement::Placement,
    program::Program,
    stack::{Stack, StackArgs},
};
use crate::{Kernel, Limits, Resource, task::credentials_for};

/// Clock ticks per second, as programs see them (`AT_CLKTCK`).
const CLOCK_TICKS: u64 = 100;
/// What a signal frame takes besides the FPU image, generously (`signal::frame`).
const SIGNAL_FRAME_BYTES: u64 = 1024;
/// Room below the first stack that is mapped at once, as on Linux.
const STACK_ROOM_BYTES: u64 = 128 << 10;

/// What to load.
#[derive(Debug)]
pub struct LoadArgs<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// The program, opened for execution (permissions were checked).
    pub file: Arc<OpenFile>,
    /// Its path as given.
    pub path: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// Limits: size of the stack, of the address space.
    pub limits: Limits,
    /// Whose program it is before set-id bits count.
    pub creds: Arc<Credentials>,
}

/// A program that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Its memory.
    pub mm: Arc<MemoryManager>,
    /// Where it starts.
    pub entry: UserAddr,
    /// Its stack pointer.
    pub stack: UserAddr,
    /// Its credentials.
    pub creds: Credentials,
    /// Where the file of the program (not of its interpreter) lies.
    pub exe: Option<Path>,
    /// Its name: the last component of the path, at most 15 bytes.
    pub name: [u8; 16],
    /// Where arguments and environment lie.
    pub arguments: ArgumentRanges,
}

/// Where arguments and environment lie in memory, and the layout that `/proc/PID/stat` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, state::Save, state::Load)]
pub struct ArgumentRanges {
    /// The arguments, each with its NUL.
    pub args: abi::AddrRange,
    /// The environment, each with its NUL.
    pub env: abi::AddrRange,
    /// The auxiliary vector.
    pub auxv: abi::AddrRange,
}

/// Loads a program into a fresh memory.
///
/// # Errors
///
/// `ENOEXEC` for what is no program, `E2BIG` for too many arguments, and as execve(2).
pub fn load(fs: &Ctx<'_>, args: LoadArgs<'_>) -> Result<Loaded, Errno> {
    let stack_bytes = args.limits.soft(Resource::Stack);
    stack::check_size(&args.path, &args.argv, &args.envp, stack_bytes)?;
    let (program, mut argv) = program::find(fs, args.file, &args.path, args.argv)?;
    if argv.is_empty() {
        // As Linux since 5.18: many programs take for granted that there is a name.
        argv.push(Vec::new());
    }
    stack::check_size(&args.path, &argv, &args.envp, stack_bytes)?;
    let interpreter = program::interpreter(fs, &program)?;
    let (creds, secure) = credentials(fs, &program.file, &args.creds)?;
    let kernel = args.kernel;
    let mm = MemoryManager::new(&kernel.platform, &kernel.memory, &kernel.charge)?;
    let placement = Placement::draw(stack_bytes);
    mm.set_limits(memory_limits(&args.limits, &creds));
    mm.set_layout(placement.layout);
    let images = Images::map(fs, &mm, &program, interpreter.as_ref(), &placement)?;
    let mut auxv = images.auxv(kernel, &program);
    if let Some(vdso) = &kernel.vdso {
        auxv.push((auxv::AT_SYSINFO_EHDR, vdso.map(&mm)?.get()));
    }
    auxv.extend([
        (auxv::AT_UID, u64::from(creds.ruid)),
        (auxv::AT_EUID, u64::from(creds.euid)),
        (auxv::AT_GID, u64::from(creds.rgid)),
        (auxv::AT_EGID, u64::from(creds.egid)),
        (auxv::AT_SECURE, u64::from(secure)),
    ]);
    let stack = Stack::build(&StackArgs {
        top: placement.stack_top,
        path: &args.path,
        argv: &argv,
        envp: &args.envp,
        auxv: &auxv,
        random: placement.secret,
        gap: placement.stack_gap,
    })?;
    map_stack(&mm, &stack, stack_bytes, program.elf.executable_stack)?;
    Ok(Loaded {
        mm,
        entry: images.entry,
        stack: stack.pointer,
        creds,
        exe: program.file.path().cloned(),
        name: short_name(&args.path),
        arguments: stack.ranges,
    })
}

/// Where program and interpreter were put.
struct Images {
    /// Where the first instruction lies: the interpreter's, if there is one.
    entry: UserAddr,
    program_bias: u64,
    interpreter_bias: u64,
}

impl Images {
    fn map(
        fs: &Ctx<'_>,
        mm: &Arc<MemoryManager>,
        program: &Program,
        interpreter: Option<&Program>,
        placement: &Placement,
    ) -> Result<Self, Errno> {
        let elf = &program.elf;
        let place = Place::At(placement.program);
        let program_bias = image::map(mm, elf, &mappable(fs, program)?, place)?;
        let mut images = Self {
            entry: UserAddr::new(elf.entry.wrapping_add(program_bias)),
            program_bias,
            interpreter_bias: 0,
        };
        let heap = UserAddr::new(elf.end().wrapping_add(program_bias)).page_up();
        let heap = heap.and_then(|heap| heap.checked_add(placement.heap_gap));
        mm.set_brk_start(heap.ok_or(Errno::ENOMEM)?);
        if let Some(interpreter) = interpreter {
            let what = mappable(fs, interpreter)?;
            let bias = image::map(mm, &interpreter.elf, &what, Place::Anywhere)?;
            images.entry = UserAddr::new(interpreter.elf.entry.wrapping_add(bias));
            images.interpreter_bias = bias;
        }
        Ok(images)
    }

    fn auxv(&self, kernel: &Kernel, program: &Program) -> Vec<(u64, u64)> {
        let elf = &program.elf;
        let headers = match elf.headers_at {
            0 => 0,
            at => at.wrapping_add(self.program_bias),
        };
        let frame = kernel.platform.fpu_size_bytes() as u64 + SIGNAL_FRAME_BYTES;
        vec![
            (auxv::AT_MINSIGSTKSZ, frame),
            (auxv::AT_HWCAP, host::cpu::hwcap()),
            (auxv::AT_PAGESZ, PAGE_SIZE),
            (auxv::AT_CLKTCK, CLOCK_TICKS),
            (auxv::AT_PHDR, headers),
            (auxv::AT_PHENT, elf::PROGRAM_HEADER_BYTES as u64),
            (auxv::AT_PHNUM, u64::from(elf.header_count)),
            (auxv::AT_BASE, self.interpreter_bias),
            (auxv::AT_FLAGS, 0),
            (auxv::AT_ENTRY, elf.entry.wrapping_add(self.program_bias)),
            (auxv::AT_HWCAP2, host::cpu::hwcap2()),
        ]
    }
}

/// What can be mapped of a program's file; a file system that can't map has no programs.
fn mappable(fs: &Ctx<'_>, program: &Program) -> Result<Arc<dyn Mappable>, Errno> {
    program.file.mappable(fs, false).map_err(|errno| match errno {
        Errno::ENODEV => Errno::ENOEXEC,
        other => other,
    })
}

/// The credentials of the new program, and whether it has more rights than who started it
/// (`AT_SECURE`, getauxval(3)).
fn credentials(
    fs: &Ctx<'_>,
    file: &OpenFile,
    old: &Credentials,
) -> Result<(Credentials, bool), Errno> {
    let no_suid = file.path().is_some_and(|path| path.mount.flags().no_suid);
    let new = credentials_for(old, &file.metadata(fs)?, no_suid);
    let set_id = new.euid != old.ruid || new.egid != old.rgid;
    let gained = new.ruid != 0 && !new.ambient.covers(new.permitted);
    let secure = set_id || gained;
    Ok((new, secure))
}

fn memory_limits(limits: &Limits, creds: &Credentials) -> mm::Limits {
    let unlimited = creds.has(Capability::IpcLock);
    mm::Limits {
        address_space: limits.soft(Resource::As),
        data: limits.soft(Resource::Data),
        stack: limits.soft(Resource::Stack),
        locked: if unlimited { u64::MAX } else { limits.soft(Resource::Memlock) },
    }
}

fn map_stack(
    mm: &Arc<MemoryManager>,
    stack: &Stack,
    limit_bytes: u64,
    executable: bool,
) -> Result<(), Errno> {
    let used = stack.bytes.len() as u64;
    let room = limit_bytes.saturating_sub(used).min(STACK_ROOM_BYTES);
    let start = stack.pointer.checked_sub(room).ok_or(Errno::E2BIG)?.page_down();
    let top = stack.pointer.checked_add(used).ok_or(Errno::E2BIG)?;
    let protection = Protection { execute: executable, ..Protection::READ_WRITE };
    let request = MapRequest::anonymous(top.get() - start.get(), protection).named("[stack]");
    let request = MapRequest { grows_down: true, ..request.at(start) };
    mm.map(MapRequest { fixed: Fixed::NoReplace, ..request })?;
    mm.write(stack.pointer, &stack.bytes)
}

/// The last component of a path, cut to 15 bytes.
fn short_name(path: &[u8]) -> [u8; 16] {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(last) {
        *to = *from;
    }
    name
}

#[cfg(test)]
pub(crate) mod tests;
