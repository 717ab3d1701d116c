//! Loading programs: ELF, scripts, the first stack, the vDSO (execve(2), elf(5)).

use std::sync::Arc;

use abi::{Errno, UserAddr};
use auth::Credentials;
use mm::MemoryManager;
use vfs::{Ctx, OpenFile, Path};

use crate::{Kernel, Limits};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgumentRanges {
    /// The arguments, each with its NUL.
    pub args: abi::AddrRange,
    /// The environment, each with its NUL.
    pub env: abi::AddrRange,
    /// The auxiliary vector.
    pub auxv: abi::AddrRange,
}

/// The pages that every program gets for calls without a system call.
#[derive(Debug)]
pub struct Vdso {}

/// Loads a program into a fresh memory.
///
/// # Errors
///
/// `ENOEXEC` for what is no program, `E2BIG` for too many arguments, and as execve(2).
pub fn load(fs: &Ctx<'_>, args: LoadArgs<'_>) -> Result<Loaded, Errno> {
    let _ = (fs, args);
    Err(Errno::ENOEXEC)
}
