//! The vDSO as a shared object (vdso(7)): one page with headers, tables and code, linked at
//! address 0.
//!
//! Programs find its functions by the tables of the dynamic section (musl and Go by `DT_HASH`,
//! glibc by `DT_GNU_HASH`); section headers are there for debuggers, unwind tables for who looks up
//! the stack from a signal handler.

use host::vdso::{FUNCTIONS, code, entries};

use super::unwind;

/// Bytes of the image.
pub(super) const IMAGE_BYTES: usize = 4096;
/// Its name.
const SONAME: &str = "linux-vdso.so.1";
/// The version of its functions (vdso(7), "x86-64 functions").
const VERSION: &str = "LINUX_2.6";
/// Names of the sections, in the order of their headers.
const SECTIONS: [&str; 12] = [
    "",
    ".hash",
    ".gnu.hash",
    ".dynsym",
    ".dynstr",
    ".gnu.version",
    ".gnu.version_d",
    ".dynamic",
    ".text",
    ".eh_frame",
    ".eh_frame_hdr",
    ".shstrtab",
];

/// A table of the image: where it lies and how long it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Table {
    pub(super) at: usize,
    pub(super) len: usize,
}

/// An image that grows.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends a table at the next multiple of `align`.
    fn table(&mut self, align: usize, content: &[u8]) -> Table {
        self.bytes.resize(self.next(align), 0);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        Table { at, len: content.len() }
    }

    /// Where the next table will lie.
    fn next(&self, align: usize) -> usize {
        self.bytes.len().next_multiple_of(align)
    }

    fn put(&mut self, at: usize, content: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(content) {
            *to = *from;
        }
    }
}

/// Strings one after the other, each with its NUL; the first one is empty.
#[derive(Default)]
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, string: &str) -> u32 {
        if self.0.is_empty() {
            self.0.push(0);
        }
        let at = self.0.len();
        self.0.extend_from_slice(string.as_bytes());
        self.0.push(0);
        word(at)
    }
}

/// The tables that the dynamic section names.
struct Tables {
    hash: Table,
    gnu_hash: Table,
    symbols: Table,
    strings: Table,
    versions: Table,
    definitions: Table,
    text: Table,
    frames: Table,
    frames_header: Table,
}

/// Builds the image; it is [`IMAGE_BYTES`] long.
pub(super) fn build() -> Vec<u8> {
    let mut names = Strings::default();
    let soname = names.add(SONAME);
    let version = names.add(VERSION);
    let functions = FUNCTIONS.map(|name| names.add(name));
    let mut image =
        Writer { bytes: vec![0; (HEADER_BYTES + PROGRAM_HEADERS * PROGRAM_HEADER_BYTES).into()] };
    let text_bytes = code();
    let tables = Tables {
        hash: image.table(8, &hash_table()),
        gnu_hash: image.table(8, &gnu_hash_table()),
        strings: image.table(1, &names.0),
        versions: image.table(2, &version_numbers()),
        definitions: image.table(8, &version_definitions(soname, version)),
        text: image.table(16, text_bytes),
        symbols: Table::default(),
        frames: Table::default(),
        frames_header: Table::default(),
    };
    let symbols = image.table(8, &symbol_table(&functions, tables.text));
    let frames = image.table(8, &unwind::frames(image.next(8), tables.text));
    let frames_header = image.table(4, &unwind::header(image.next(4), frames, tables.text));
    let tables = Tables { symbols, frames, frames_header, ..tables };
    let dynamic = image.table(8, &dynamic_section(&tables, soname));
    let mut section_names = Strings::default();
    let mut name_offsets = [0; SECTIONS.len()];
    for (offset, name) in name_offsets.iter_mut().zip(SECTIONS).skip(1) {
        *offset = section_names.add(name);
    }
    let section_strings = image.table(1, &section_names.0);
    let headers = section_headers(&tables, dynamic, section_strings, &name_offsets);
    let headers = image.table(8, &headers);
    image.put(0, &file_header(headers));
    image.put(
        HEADER_BYTES.into(),
        &program_headers(image.bytes.len(), dynamic, tables.frames_header),
    );
    debug_assert!(image.bytes.len() <= IMAGE_BYTES);
    image.bytes.resize(IMAGE_BYTES, 0);
    image.bytes
}

const HEADER_BYTES: u16 = 64;
const PROGRAM_HEADERS: u16 = 3;
const PROGRAM_HEADER_BYTES: u16 = 56;
const SECTION_HEADER_BYTES: u16 = 64;
/// The null symbol and the functions.
const SYMBOL_COUNT: u32 = 5;
const _: () = assert!(SYMBOL_COUNT as usize == 1 + FUNCTIONS.len());
/// The section of the functions, and that of the sections' names, by their places in `SECTIONS`.
const TEXT_SECTION: u16 = 8;
const NAMES_SECTION: u16 = 11;
const _: () = assert!(NAMES_SECTION as usize + 1 == SECTIONS.len());

fn file_header(sections: Table) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    // ET_DYN for EM_X86_64.
    push16(&mut header, &[3, 62]);
    push32(&mut header, &[1]);
    push64(&mut header, &[0, HEADER_BYTES.into(), sections.at as u64]);
    push32(&mut header, &[0]);
    push16(&mut header, &[HEADER_BYTES, PROGRAM_HEADER_BYTES, PROGRAM_HEADERS]);
    push16(&mut header, &[SECTION_HEADER_BYTES, NAMES_SECTION + 1, NAMES_SECTION]);
    header
}

fn program_headers(len: usize, dynamic: Table, frames: Table) -> Vec<u8> {
    let len = len as u64;
    let mut headers = Vec::new();
    // PT_LOAD, readable and executable.
    push32(&mut headers, &[1, 5]);
    push64(&mut headers, &[0, 0, 0, len, len, abi::PAGE_SIZE]);
    // PT_DYNAMIC and PT_GNU_EH_FRAME, readable.
    for (kind, table, align) in [(2, dynamic, 8), (0x6474_e550, frames, 4)] {
        let (at, len) = (table.at as u64, table.len as u64);
        push32(&mut headers, &[kind, 4]);
        push64(&mut headers, &[at, at, at, len, len, align]);
    }
    headers
}

/// One bucket with all symbols (gABI, "Hash Table").
fn hash_table() -> Vec<u8> {
    let mut table = Vec::new();
    push32(&mut table, &[1, SYMBOL_COUNT, 1]);
    push32(&mut table, &[0]);
    for symbol in 1..SYMBOL_COUNT {
        push32(&mut table, &[(symbol + 1) % SYMBOL_COUNT]);
    }
    table
}

/// One bucket with all symbols, behind a filter that lets everything pass: buckets, first symbol,
/// words of the filter, its shift; the filter; the bucket; the hashes, the last one marked.
fn gnu_hash_table() -> Vec<u8> {
    let mut table = Vec::new();
    push32(&mut table, &[1, 1, 1, 0]);
    push64(&mut table, &[u64::MAX]);
    push32(&mut table, &[1]);
    for (index, name) in FUNCTIONS.iter().enumerate() {
        let last = index + 1 == FUNCTIONS.len();
        push32(&mut table, &[(gnu_hash(name) & !1) | u32::from(last)]);
    }
    table
}

fn symbol_table(names: &[u32], text: Table) -> Vec<u8> {
    let mut table = vec![0; 24];
    let starts = entries();
    let ends = starts.iter().copied().skip(1).chain([text.len]);
    for ((name, start), end) in names.iter().zip(starts).zip(ends) {
        push32(&mut table, &[*name]);
        // STB_GLOBAL, STT_FUNC; default visibility.
        table.extend_from_slice(&[0x12, 0]);
        push16(&mut table, &[TEXT_SECTION]);
        push64(&mut table, &[(text.at + start) as u64, end.saturating_sub(start) as u64]);
    }
    table
}

/// The version of each symbol: the second definition.
fn version_numbers() -> Vec<u8> {
    let mut table = vec![0; 2];
    FUNCTIONS.iter().for_each(|_| push16(&mut table, &[2]));
    table
}

/// Two versions: that of the object itself (`VER_FLG_BASE`) and that of its functions.
fn version_definitions(soname: u32, version: u32) -> Vec<u8> {
    let mut table = Vec::new();
    let definitions = [(1, 1, SONAME, soname, 28), (0, 2, VERSION, version, 0)];
    for (flags, index, name, name_at, next) in definitions {
        push16(&mut table, &[1, flags, index, 1]);
        push32(&mut table, &[sysv_hash(name), 20, next]);
        push32(&mut table, &[name_at, 0]);
    }
    table
}

fn dynamic_section(tables: &Tables, soname: u32) -> Vec<u8> {
    let at = |table: Table| table.at as u64;
    let entries = [
        (14, u64::from(soname)),               // DT_SONAME
        (4, at(tables.hash)),                  // DT_HASH
        (0x6fff_fef5, at(tables.gnu_hash)),    // DT_GNU_HASH
        (5, at(tables.strings)),               // DT_STRTAB
        (6, at(tables.symbols)),               // DT_SYMTAB
        (10, tables.strings.len as u64),       // DT_STRSZ
        (11, 24),                              // DT_SYMENT
        (0x6fff_fff0, at(tables.versions)),    // DT_VERSYM
        (0x6fff_fffc, at(tables.definitions)), // DT_VERDEF
        (0x6fff_fffd, 2),                      // DT_VERDEFNUM
        (0, 0),                                // DT_NULL
    ];
    let mut section = Vec::new();
    for (tag, value) in entries {
        push64(&mut section, &[tag, value]);
    }
    section
}

/// Type, flags, table, link, info, alignment, size of an entry of each section but the first.
fn section_headers(
    tables: &Tables,
    dynamic: Table,
    strings: Table,
    names: &[u32; SECTIONS.len()],
) -> Vec<u8> {
    /// `SHF_ALLOC`, `SHF_EXECINSTR`.
    const ALLOC: u64 = 2;
    const EXEC: u64 = 4;
    let rows: [(u32, u64, Table, u32, u32, u64, u64); SECTIONS.len() - 1] = [
        (5, ALLOC, tables.hash, 3, 0, 8, 4),
        (0x6fff_fff6, ALLOC, tables.gnu_hash, 3, 0, 8, 0),
        (11, ALLOC, tables.symbols, 4, 1, 8, 24),
        (3, ALLOC, tables.strings, 0, 0, 1, 0),
        (0x6fff_ffff, ALLOC, tables.versions, 3, 0, 2, 2),
        (0x6fff_fffd, ALLOC, tables.definitions, 4, 2, 8, 0),
        (6, ALLOC, dynamic, 4, 0, 8, 16),
        (1, ALLOC | EXEC, tables.text, 0, 0, 16, 0),
        (1, ALLOC, tables.frames, 0, 0, 8, 0),
        (1, ALLOC, tables.frames_header, 0, 0, 4, 0),
        (3, 0, strings, 0, 0, 1, 0),
    ];
    let mut headers = vec![0; usize::from(SECTION_HEADER_BYTES)];
    for (row, name) in rows.iter().zip(names.iter().skip(1)) {
        let (kind, flags, table, link, info, align, entry) = *row;
        let addr = if flags & ALLOC == 0 { 0 } else { table.at as u64 };
        push32(&mut headers, &[*name, kind]);
        push64(&mut headers, &[flags, addr, table.at as u64, table.len as u64]);
        push32(&mut headers, &[link, info]);
        push64(&mut headers, &[align, entry]);
    }
    headers
}

/// The hash of `DT_HASH` and of versions (gABI, "Hash Table").
fn sysv_hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

/// The hash of `DT_GNU_HASH`.
fn gnu_hash(name: &str) -> u32 {
    name.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)))
}

/// A number that is bounded by the size of the image.
pub(super) fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn push16(bytes: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

pub(super) fn push32(bytes: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

fn push64(bytes: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

    use object::{
        Endianness, Object, ObjectSection, ObjectSymbol,
        elf::FileHeader64,
        read::elf::{FileHeader, SectionHeader},
    };

    use super::*;

    #[test]
    fn it_fits_one_page_and_each_function_is_found_with_its_code() {
        let image = build();
        assert_eq!(image.len(), IMAGE_BYTES);
        let file = object::File::parse(&*image).unwrap();
        for (name, start) in FUNCTIONS.iter().zip(entries()) {
            let symbol = file.dynamic_symbols().find(|s| s.name() == Ok(*name)).unwrap();
            let at = symbol.address() as usize;
            assert!(symbol.is_global() && symbol.size() > 0);
            assert_eq!(image[at..at + 16], code()[start..start + 16]);
            assert!(at + symbol.size() as usize <= IMAGE_BYTES);
        }
    }

    #[test]
    fn both_hash_tables_lead_to_each_function_and_its_version() {
        let image = build();
        let header = FileHeader64::<Endianness>::parse(&*image).unwrap();
        let endian = header.endian().unwrap();
        let sections = header.sections(endian, &*image).unwrap();
        let symbols = sections.symbols(endian, &*image, object::elf::SHT_DYNSYM).unwrap();
        let versions = sections.versions(endian, &*image).unwrap().unwrap();
        let (hash, _) = sections.hash(endian, &*image).unwrap().unwrap();
        let (gnu_hash, _) = sections.gnu_hash(endian, &*image).unwrap().unwrap();
        for name in FUNCTIONS {
            let name = name.as_bytes();
            let hashed = object::elf::hash(name);
            let (index, _) = hash
                .find(endian, name, hashed, None, &symbols, &versions)
                .expect("DT_HASH knows it");
            let hashed = object::elf::gnu_hash(name);
            let (gnu_index, _) = gnu_hash
                .find(endian, name, hashed, None, &symbols, &versions)
                .expect("DT_GNU_HASH knows it");
            assert_eq!(index, gnu_index);
            let version = versions.version_index(endian, index);
            let version = versions.version(version.into()).unwrap().unwrap();
            assert_eq!(version.name(), VERSION.as_bytes());
            assert_eq!(version.hash(), 0x03ae_75f6);
        }
        let missing = b"__vdso_nothing";
        let hashed = object::elf::hash(missing);
        assert!(hash.find(endian, missing, hashed, None, &symbols, &versions).is_none());
    }

    /// musl and Go read nothing but the dynamic section, from where the program is loaded.
    #[test]
    fn the_dynamic_section_names_the_same_tables_as_the_section_headers() {
        let image = build();
        let header = FileHeader64::<Endianness>::parse(&*image).unwrap();
        let endian = header.endian().unwrap();
        let sections = header.sections(endian, &*image).unwrap();
        let dynamic = sections.dynamic(endian, &*image).unwrap().unwrap().0;
        let value = |tag: i64| {
            dynamic.iter().find(|d| d.d_tag.get(endian).0 == tag).unwrap().d_val.get(endian)
        };
        for (tag, name) in
            [(4, ".hash"), (5, ".dynstr"), (6, ".dynsym"), (0x6fff_fef5, ".gnu.hash")]
        {
            let (_, section) = sections.section_by_name(endian, name.as_bytes()).unwrap();
            assert_eq!(value(tag), section.sh_addr(endian), "{name}");
        }
        let at = value(5) as usize + value(14) as usize;
        assert!(image[at..].starts_with(b"linux-vdso.so.1\0"));
    }

    /// Follows the tables as an unwinder does: by the program header, then relative offsets.
    #[test]
    fn the_unwind_tables_cover_the_code() {
        let image = build();
        let word = |at: usize| {
            let word = i32::from_le_bytes(image[at..at + 4].try_into().unwrap());
            at.checked_add_signed(word as isize)
        };
        let raw = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
        let headers = object::File::parse(&*image).unwrap();
        let section = |name: &str| headers.section_by_name(name).unwrap().address() as usize;
        let at = section(".eh_frame_hdr");
        assert_eq!(image[at..at + 4], [1, 0x1b, 3, 0x3b]);
        assert_eq!(word(at + 4), Some(section(".eh_frame")));
        assert_eq!(raw(at + 8), 1);
        let relative = |entry: usize| (at as u32).wrapping_add(raw(entry) as u32) as usize;
        assert_eq!(relative(at + 12), section(".text"));
        let frame = relative(at + 16);
        // Length, distance to the common part, first address, length of the code.
        assert_eq!(frame + 4 - raw(frame + 4), section(".eh_frame"));
        assert_eq!(word(frame + 8), Some(section(".text")));
        assert_eq!(raw(frame + 12), code().len());
        let end = frame + 4 + raw(frame);
        assert_eq!(raw(end), 0);
    }
}
