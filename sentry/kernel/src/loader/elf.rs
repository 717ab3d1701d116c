//! What the headers of an ELF file say (elf(5)). Everything in them may be forged.

use abi::{Errno, PAGE_SIZE, USER_MAX};
use mm::Span;
use object::{
    LittleEndian as LE,
    elf::{self, FileHeader64, ProgramHeader64},
    pod,
};
use platform::Protection;
use zerocopy::IntoBytes;

/// Bytes of the file header.
const HEADER_BYTES: usize = size_of::<FileHeader64<LE>>();
/// Bytes of a program header.
pub(super) const PROGRAM_HEADER_BYTES: usize = size_of::<ProgramHeader64<LE>>();
/// Most bytes of all program headers, as on Linux (`load_elf_phdrs`).
const TABLE_MAX_BYTES: usize = 65_536;
/// Longest name of an interpreter, with its NUL (`PATH_MAX`).
const INTERPRETER_MAX_BYTES: u64 = 4096;

/// What is to be loaded of an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// It may lie anywhere (`ET_DYN`).
    pub(super) relocatable: bool,
    /// Where it starts.
    pub(super) entry: u64,
    /// Where its program headers lie in memory; 0 if no segment holds them.
    pub(super) headers_at: u64,
    /// How many program headers it has.
    pub(super) header_count: u16,
    /// What is mapped: at least one, in order of addresses, no two in one page.
    pub(super) segments: Vec<Segment>,
    /// Where in the file the path of its interpreter lies, with its NUL.
    pub(super) interpreter: Option<Span>,
    /// It wants its stack executable.
    pub(super) executable_stack: bool,
    /// The greatest alignment of a segment: a power of two, at least a page.
    pub(super) align: u64,
}

/// One part of the file that is mapped (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its first address, before the program is moved.
    pub(super) addr: u64,
    /// Its length in memory; what the file does not fill is zero. Not 0.
    pub(super) len: u64,
    /// What the file fills of it, at most `len`.
    pub(super) file: Span,
    /// Rights.
    pub(super) protection: Protection,
}

impl Segment {
    /// The pages that it touches.
    pub(super) const fn pages(&self) -> Span {
        let end = self.addr.saturating_add(self.len).saturating_add(PAGE_SIZE - 1);
        Span::new(self.addr & !(PAGE_SIZE - 1), end & !(PAGE_SIZE - 1))
    }
}

impl Elf {
    /// Reads the headers; `read` fills a buffer from an offset, or up to the end of the file, and
    /// returns how much it filled.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` for what is not a program for this machine, `EINVAL` for segments that can't be
    /// mapped, `EIO` for a file that ends in its headers; what `read` returns.
    pub(super) fn read(
        mut read: impl FnMut(u64, &mut [u8]) -> Result<usize, Errno>,
    ) -> Result<Self, Errno> {
        // Words, so that they are aligned.
        let mut header = [0_u64; HEADER_BYTES / 8];
        if read(0, header.as_mut_bytes())? < HEADER_BYTES {
            return Err(Errno::ENOEXEC);
        }
        let (header, _) =
            pod::from_bytes::<FileHeader64<LE>>(header.as_bytes()).map_err(|()| Errno::ENOEXEC)?;
        check_header(header)?;
        let count = header.e_phnum.get(LE);
        let table_bytes = usize::from(count) * PROGRAM_HEADER_BYTES;
        if count == 0 || table_bytes > TABLE_MAX_BYTES {
            return Err(Errno::ENOEXEC);
        }
        let mut table = vec![0_u64; table_bytes / 8];
        if read(header.e_phoff.get(LE), table.as_mut_bytes())? < table_bytes {
            return Err(Errno::EIO);
        }
        let table = pod::slice_from_all_bytes::<ProgramHeader64<LE>>(table.as_bytes())
            .map_err(|()| Errno::ENOEXEC)?;
        Self::from_headers(header, table)
    }

    fn from_headers(
        header: &FileHeader64<LE>,
        table: &[ProgramHeader64<LE>],
    ) -> Result<Self, Errno> {
        let mut program = Self {
            relocatable: header.e_type.get(LE) == elf::ET_DYN,
            entry: header.e_entry.get(LE),
            header_count: header.e_phnum.get(LE),
            align: PAGE_SIZE,
            ..Self::default()
        };
        for part in table {
            match part.p_type.get(LE) {
                elf::PT_LOAD => program.add_segment(part, header.e_phoff.get(LE))?,
                elf::PT_INTERP if program.interpreter.is_none() => {
                    program.interpreter = Some(interpreter(part)?);
                }
                elf::PT_GNU_STACK => {
                    program.executable_stack = part.p_flags.get(LE).0 & elf::PF_X.0 != 0;
                }
                _ => {}
            }
        }
        if program.segments.is_empty() { Err(Errno::EINVAL) } else { Ok(program) }
    }

    fn add_segment(&mut self, part: &ProgramHeader64<LE>, table_at: u64) -> Result<(), Errno> {
        let (addr, len) = (part.p_vaddr.get(LE), part.p_memsz.get(LE));
        let (file_at, file_len) = (part.p_offset.get(LE), part.p_filesz.get(LE));
        if file_len > len {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let end = addr.checked_add(len).filter(|end| *end <= USER_MAX.get());
        let file_end = file_at.checked_add(file_len).filter(|end| *end <= i64::MAX as u64);
        let (Some(_), Some(file_end)) = (end, file_end) else { return Err(Errno::EINVAL) };
        if file_len > 0 && addr % PAGE_SIZE != file_at % PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        let flags = part.p_flags.get(LE).0;
        let file = Span::new(file_at, file_end);
        let protection = Protection {
            read: flags & elf::PF_R.0 != 0,
            write: flags & elf::PF_W.0 != 0,
            execute: flags & elf::PF_X.0 != 0,
        };
        let segment = Segment { addr, len, file, protection };
        if self.segments.last().is_some_and(|last| last.pages().end > segment.pages().start) {
            return Err(Errno::EINVAL);
        }
        if file.contains(table_at) && self.headers_at == 0 {
            self.headers_at = addr.wrapping_add(table_at - file_at);
        }
        let align = part.p_align.get(LE);
        if align.is_power_of_two() {
            self.align = self.align.max(align);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// The pages from the first segment to the last, with what lies between them.
    pub(super) fn pages(&self) -> Span {
        match (self.segments.first(), self.segments.last()) {
            (Some(first), Some(last)) => Span::new(first.pages().start, last.pages().end),
            _ => Span::default(),
        }
    }

    /// The first address behind the last segment.
    pub(super) fn end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.addr.saturating_add(last.len))
    }
}

fn check_header(header: &FileHeader64<LE>) -> Result<(), Errno> {
    let ident = &header.e_ident;
    let kind = header.e_type.get(LE);
    let fits = ident.magic == elf::ELFMAG
        && ident.class == elf::ELFCLASS64
        && ident.data == elf::ELFDATA2LSB
        && (kind == elf::ET_EXEC || kind == elf::ET_DYN)
        && header.e_machine.get(LE) == elf::EM_X86_64
        && usize::from(header.e_phentsize.get(LE)) == PROGRAM_HEADER_BYTES;
    if fits { Ok(()) } else { Err(Errno::ENOEXEC) }
}

fn interpreter(part: &ProgramHeader64<LE>) -> Result<Span, Errno> {
    let (at, len) = (part.p_offset.get(LE), part.p_filesz.get(LE));
    if (2..=INTERPRETER_MAX_BYTES).contains(&len) && at <= i64::MAX as u64 - len {
        Ok(Span::from_len(at, len))
    } else {
        Err(Errno::ENOEXEC)
    }
}
