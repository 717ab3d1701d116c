//! Finding the file that really runs: through scripts to the program, and its interpreter.

use std::sync::Arc;

use abi::{Errno, fs::open::O_RDONLY};
use mm::Span;
use vfs::{BytesDst, Ctx, LookupFlags, OpenFile};

use super::{
    elf::Elf,
    script::{DEPTH_MAX, LINE_MAX_BYTES, Script},
};

/// A file with what its headers say.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) file: Arc<OpenFile>,
    pub(super) elf: Elf,
}

/// Follows `#!` lines from `file`, named `path`, to a program; returns it with its arguments.
///
/// # Errors
///
/// As execve(2).
pub(super) fn find(
    fs: &Ctx<'_>,
    file: Arc<OpenFile>,
    path: &[u8],
    mut argv: Vec<Vec<u8>>,
) -> Result<(Program, Vec<Vec<u8>>), Errno> {
    let (mut file, mut path) = (file, path.to_vec());
    for _ in 0..=DEPTH_MAX {
        require_regular(fs, &file)?;
        let mut start = [0; LINE_MAX_BYTES];
        let len = read(fs, &file, 0, &mut start)?;
        let Some(script) = Script::parse(start.get(..len).unwrap_or_default())? else {
            let elf = Elf::read(|offset, buffer| read(fs, &file, offset, buffer))?;
            return Ok((Program { file, elf }, argv));
        };
        argv = script.arguments(&path, argv);
        path = script.interpreter;
        file = open(fs, &path)?;
    }
    Err(Errno::ELOOP)
}

/// Finds the interpreter that `program` names (`PT_INTERP`).
///
/// # Errors
///
/// `ELIBBAD` for what is no ELF file, `ENOEXEC` for a bad name, and as open(2).
pub(super) fn interpreter(fs: &Ctx<'_>, program: &Program) -> Result<Option<Program>, Errno> {
    let Some(at) = program.elf.interpreter else { return Ok(None) };
    let path = interpreter_path(fs, &program.file, at)?;
    let file = open(fs, &path)?;
    let elf = Elf::read(|offset, buffer| read(fs, &file, offset, buffer));
    let elf = elf.map_err(|errno| match errno {
        Errno::ENOEXEC => Errno::ELIBBAD,
        other => other,
    })?;
    Ok(Some(Program { file, elf }))
}

fn interpreter_path(fs: &Ctx<'_>, file: &OpenFile, at: Span) -> Result<Vec<u8>, Errno> {
    let mut path = vec![0; usize::try_from(at.len()).map_err(|_| Errno::ENOEXEC)?];
    if read(fs, file, at.start, &mut path)? < path.len() {
        return Err(Errno::EIO);
    }
    if path.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    path.truncate(end);
    Ok(path)
}

/// Opens `path` for execution: the right to execute it is enough.
fn open(fs: &Ctx<'_>, path: &[u8]) -> Result<Arc<OpenFile>, Errno> {
    let place = fs.lookup(fs.cwd, path, LookupFlags::default())?;
    if !place.inode().metadata(fs)?.is_file() {
        return Err(Errno::EACCES);
    }
    fs.access(&place, 1)?;
    fs.open_found(place, O_RDONLY, true)
}

fn require_regular(fs: &Ctx<'_>, file: &OpenFile) -> Result<(), Errno> {
    if file.metadata(fs)?.is_file() { Ok(()) } else { Err(Errno::EACCES) }
}

/// Fills `buffer` from `offset`, or up to the end of the file; returns how much was filled.
fn read(fs: &Ctx<'_>, file: &OpenFile, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(Errno::ENOEXEC)?;
        if i64::try_from(at).is_err() {
            return Err(Errno::ENOEXEC);
        }
        match file.file().read(fs, &mut BytesDst::new(rest), at)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}
