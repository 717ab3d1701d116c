//! The stub: the program that every space begins as. Its machine code is data in our own binary,
//! wrapped into an ELF image at start.
//!
//! It uses no stack and no writable memory, since application threads of its space can write all
//! that is writable. Its registers:
//!
//! ```text
//! rbx   the order pages (read-only here)      ebp   the last order list done
//! r12d  the Sentry's pid                      r13d  orders left in this list
//! r14   the present order                     r15   the result of the last call
//! ```
//!
//! An order list is `seq, count` at +0 and +4, then from +64 on 64 bytes per order: number, six
//! arguments, wanted result. Any other result ends the stub.

use std::mem::offset_of;

use crate::{call, filter, layout, order};

std::arch::global_asm!(
    r#"
    .pushsection .rodata.ptrace_stub, "a", @progbits
    .balign 64
    .globl ptrace_stub_start, ptrace_stub_end, ptrace_stub_parked, ptrace_stub_handler
    .hidden ptrace_stub_start, ptrace_stub_end, ptrace_stub_parked, ptrace_stub_handler
ptrace_stub_start:
    movabs rbx, {orders}
    mov eax, {getppid}
    syscall
    mov r12d, eax
    jmp .Lstub_map_orders

    // A new space, cloned by the service thread of another. Its own socket and order file came
    // to that one as fds 3 and 4. PDEATHSIG is not inherited; if the Sentry died before the
    // prctl, the parent is no longer the Sentry.
.Lstub_new_space:
    mov eax, {prctl}
    mov edi, 1
    mov esi, 9
    syscall
    mov eax, {getppid}
    syscall
    cmp eax, r12d
    jne .Lstub_bad
    mov eax, {dup2}
    mov edi, 3
    mov esi, 1
    syscall
    cmp eax, 1
    jne .Lstub_bad
    mov eax, {dup2}
    mov edi, 4
    mov esi, 2
    syscall
    cmp eax, 2
    jne .Lstub_bad
    mov eax, {close}
    mov edi, 3
    syscall
    mov eax, {close}
    mov edi, 4
    syscall
.Lstub_map_orders:
    mov eax, {mmap}
    mov rdi, rbx
    mov esi, {orders_bytes}
    mov edx, 1
    mov r10d, {map_file}
    mov r8d, 1
    xor r9d, r9d
    syscall
    cmp rax, rbx
    jne .Lstub_bad
    xor ebp, ebp

.Lstub_acknowledge:
    mov eax, {write}
    mov edi, 2
    movabs rsi, {ack}
    mov edx, 1
    syscall
    cmp eax, 1
    jne .Lstub_bad
.Lstub_wait:
    mov eax, [rbx]
    cmp eax, ebp
    jne .Lstub_list
    mov eax, {futex}
    mov rdi, rbx
    xor esi, esi
    mov edx, ebp
    xor r10d, r10d
    syscall
    jmp .Lstub_wait

.Lstub_list:
    mov ebp, eax
    mov r13d, [rbx + 4]
    lea r14, [rbx + {first}]
.Lstub_order:
    test r13d, r13d
    jz .Lstub_acknowledge
    mov rax, [r14]
    mov rdi, [r14 + 8]
    mov rsi, [r14 + 16]
    mov rdx, [r14 + 24]
    mov r10, [r14 + 32]
    mov r8, [r14 + 40]
    mov r9, [r14 + 48]
    cmp rax, {report}
    je .Lstub_report
    cmp rax, {copy}
    je .Lstub_copy
    cmp rax, {clone}
    je .Lstub_clone
    syscall
.Lstub_check:
    mov r15, rax
    mov rcx, [r14 + 56]
    cmp rcx, {any}
    je .Lstub_next
    cmp rax, rcx
    jne .Lstub_bad
.Lstub_next:
    add r14, 64
    dec r13d
    jmp .Lstub_order

    // Tells the last result by the offset of the order file, which the Sentry reads; 0 stands
    // for a failure.
.Lstub_report:
    mov eax, {lseek}
    mov edi, 1
    mov rsi, r15
    xor edx, edx
    test rsi, rsi
    cmovs rsi, rdx
    syscall
    jmp .Lstub_next

.Lstub_copy:
    mov rcx, rdx
    rep movsb
    jmp .Lstub_next

.Lstub_clone:
    syscall
    test rax, rax
    jnz .Lstub_check
    test edi, {clone_vm}
    jz .Lstub_new_space

    // A carrier: once it sleeps in the pause, its filter is in force.
    mov eax, {seccomp}
    mov edi, 1
    mov esi, {filter_flags}
    movabs rdx, {application_filter}
    syscall
    test eax, eax
    jnz .Lstub_bad
.Lstub_park:
    mov eax, {pause}
    syscall
ptrace_stub_parked:
    jmp .Lstub_park

.Lstub_bad:
    mov eax, {exit_group}
    mov edi, 99
    syscall
    // Never run: the executor takes a thread away from here before its first instruction.
ptrace_stub_handler:
    ud2
ptrace_stub_end:
    .popsection
    "#,
    orders = const layout::ORDERS,
    orders_bytes = const layout::ORDERS_BYTES,
    ack = const layout::ACK,
    application_filter = const layout::APPLICATION_FILTER,
    filter_flags = const layout::FILTER_FLAGS,
    first = const order::FIRST,
    report = const order::REPORT.cast_signed(),
    copy = const order::COPY.cast_signed(),
    any = const order::ANY.cast_signed(),
    clone_vm = const libc::CLONE_VM,
    map_file = const call::MAP_FILE,
    getppid = const call::GETPPID,
    prctl = const call::PRCTL,
    dup2 = const call::DUP2,
    close = const call::CLOSE,
    mmap = const call::MMAP,
    write = const call::WRITE,
    futex = const call::FUTEX,
    lseek = const call::LSEEK,
    clone = const call::CLONE,
    seccomp = const call::SECCOMP,
    pause = const call::PAUSE,
    exit_group = const call::EXIT_GROUP,
);

unsafe extern "C" {
    static ptrace_stub_start: u8;
    static ptrace_stub_end: u8;
    static ptrace_stub_parked: u8;
    static ptrace_stub_handler: u8;
}

/// Where the code begins in the image: behind the ELF headers.
const CODE: usize = 0x100;

fn offset_in_code(symbol: *const u8) -> usize {
    symbol.addr() - (&raw const ptrace_stub_start).addr()
}

fn code() -> &'static [u8] {
    let len = offset_in_code(&raw const ptrace_stub_end);
    // SAFETY: both symbols bound one section of constants of this binary.
    unsafe { std::slice::from_raw_parts(&raw const ptrace_stub_start, len) }
}

/// The address behind the `pause` in which a fresh carrier sleeps.
pub(crate) fn parked() -> u64 {
    layout::STUB + (CODE + offset_in_code(&raw const ptrace_stub_parked)) as u64
}

/// The address that the stub registers as the handler of fault signals.
pub(crate) fn handler() -> u64 {
    layout::STUB + (CODE + offset_in_code(&raw const ptrace_stub_handler)) as u64
}

/// Makes the ELF image: one page, one read-execute segment, no writable data, no stack right.
pub(crate) fn image() -> [u8; layout::STUB_BYTES] {
    let mut image = Image([0; layout::STUB_BYTES]);
    image.headers();
    image.put(CODE, code());
    assert!(CODE as u64 + code().len() as u64 <= layout::CONSTANTS - layout::STUB);
    let application = filter::application();
    let service = filter::service();
    let at = layout::FILTER_PROGRAMS;
    image.filter(layout::APPLICATION_FILTER, at, &application);
    image.filter(layout::SERVICE_FILTER, at + 8 * application.len() as u64, &service);
    image.put_at(layout::ACK, &[1]);
    image.0
}

/// `Elf64_Ehdr` up to its end, then two of `Elf64_Phdr` (elf(5)).
#[repr(C)]
struct ElfHeaders {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    sections: [u16; 3],
}

struct Image([u8; layout::STUB_BYTES]);

impl Image {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn put_at(&mut self, addr: u64, bytes: &[u8]) {
        let offset = usize::try_from(addr - layout::STUB).unwrap_or(usize::MAX);
        self.put(offset, bytes);
    }

    fn headers(&mut self) {
        // ELFCLASS64, ELFDATA2LSB, EV_CURRENT.
        self.put(0, b"\x7fELF\x02\x01\x01");
        self.put(offset_of!(ElfHeaders, kind), &2_u16.to_le_bytes()); // ET_EXEC
        self.put(offset_of!(ElfHeaders, machine), &62_u16.to_le_bytes()); // EM_X86_64
        self.put(offset_of!(ElfHeaders, version), &1_u32.to_le_bytes());
        self.put(offset_of!(ElfHeaders, entry), &(layout::STUB + CODE as u64).to_le_bytes());
        self.put(offset_of!(ElfHeaders, phoff), &64_u64.to_le_bytes());
        self.put(offset_of!(ElfHeaders, ehsize), &64_u16.to_le_bytes());
        self.put(offset_of!(ElfHeaders, phentsize), &56_u16.to_le_bytes());
        self.put(offset_of!(ElfHeaders, phnum), &2_u16.to_le_bytes());
        let bytes = layout::STUB_BYTES as u64;
        // PT_LOAD, readable and executable.
        self.segment(64, 1, 5, [0, layout::STUB, layout::STUB, bytes, bytes, 4096]);
        // PT_GNU_STACK, not executable.
        self.segment(64 + 56, 0x6474_e551, 6, [0, 0, 0, 0, 0, 16]);
    }

    fn segment(&mut self, at: usize, kind: u32, flags: u32, fields: [u64; 6]) {
        self.put(at, &kind.to_le_bytes());
        self.put(at + 4, &flags.to_le_bytes());
        for (i, field) in fields.iter().enumerate() {
            self.put(at + 8 + 8 * i, &field.to_le_bytes());
        }
    }

    /// Writes a `struct sock_fprog` at `head` and its program at `body`.
    fn filter(&mut self, head: u64, body: u64, program: &[filter::Instruction]) {
        let len = u16::try_from(program.len()).unwrap_or(u16::MAX);
        self.put_at(head, &len.to_le_bytes());
        self.put_at(head + 8, &body.to_le_bytes());
        for (i, instruction) in program.iter().enumerate() {
            self.put_at(body + 8 * i as u64, &instruction.to_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_an_elf_file_whose_code_reaches_no_absolute_address_of_ours() {
        let image = image();
        assert_eq!(&image[..4], b"\x7fELF");
        assert_eq!(size_of::<ElfHeaders>(), 64);
        assert!(parked() < handler());
        assert!(handler() < layout::CONSTANTS);
    }
}
