//! Where the parts of a program go: at random places, as far apart as on Linux
//! (`/proc/sys/kernel/randomize_va_space` 2; arch/x86: 22 bits of pages for the stack, 28 for
//! mappings and programs).

use abi::{PAGE_SIZE, USER_MAX, UserAddr};
use mm::Layout;

/// Below this and above one third of all addresses lie programs that may lie anywhere.
const PROGRAM_BASE: u64 = USER_MAX.get() / 3 * 2;
/// Bits of the page number of the stack's top.
const STACK_BITS: u32 = 22;
/// Bits of the page number of mappings and of programs.
const MAP_BITS: u32 = 28;
/// How far the heap may lie behind the program (`arch_randomize_brk`).
const HEAP_GAP_BYTES: u64 = 32 << 20;
/// How far the stack pointer may lie below the strings (`arch_align_stack`).
const STACK_GAP_BYTES: u64 = 8192;

/// The places of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    /// Where mappings go.
    pub(super) layout: Layout,
    /// The first address behind the stack.
    pub(super) stack_top: UserAddr,
    /// Bytes to be left free on the stack.
    pub(super) stack_gap: u64,
    /// Where a program goes that may lie anywhere.
    pub(super) program: u64,
    /// Bytes between the end of the program and the heap; whole pages.
    pub(super) heap_gap: u64,
    /// For `AT_RANDOM`.
    pub(super) secret: [u8; 16],
}

impl Placement {
    /// Draws the places of a program whose stack may take `stack_bytes`.
    pub(super) fn draw(stack_bytes: u64) -> Self {
        let mut bytes = [0; 56];
        host::random(&mut bytes);
        let mut words = bytes.chunks_exact(8).map(|word| {
            word.iter().rev().fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
        });
        let mut word = || words.next().unwrap_or_default();
        let pages = |bits: u32, word: u64| (word & ((1 << bits) - 1)) * PAGE_SIZE;
        let stack = pages(STACK_BITS, word());
        let mut secret = [0; 16];
        for half in secret.chunks_exact_mut(8) {
            half.copy_from_slice(&word().to_le_bytes());
        }
        Self {
            layout: Layout::top_down(stack_bytes, stack, pages(MAP_BITS, word())),
            stack_top: UserAddr::new(USER_MAX.get() - stack),
            stack_gap: word() % STACK_GAP_BYTES,
            program: (PROGRAM_BASE & !(PAGE_SIZE - 1)) + pages(MAP_BITS, word()),
            heap_gap: word() % (HEAP_GAP_BYTES / PAGE_SIZE) * PAGE_SIZE,
            secret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_never_meet() {
        for stack_bytes in [0, 8 << 20, 1 << 40, u64::MAX] {
            for _ in 0..200 {
                let place = Placement::draw(stack_bytes);
                let top = place.stack_top.get();
                let stack = top - stack_bytes.min(128 << 20);
                assert!(top <= USER_MAX.get() && top.is_multiple_of(PAGE_SIZE));
                assert!(place.layout.mmap_base.get() <= stack);
                assert!(place.program.is_multiple_of(PAGE_SIZE));
                assert!(place.program < USER_MAX.get() - (1 << 40));
                assert!(place.heap_gap < HEAP_GAP_BYTES && place.stack_gap < STACK_GAP_BYTES);
            }
        }
    }

    #[test]
    fn two_programs_lie_elsewhere() {
        let (a, b) = (Placement::draw(8 << 20), Placement::draw(8 << 20));
        assert_ne!((a.program, a.stack_top), (b.program, b.stack_top));
        assert_ne!(a.secret, b.secret);
    }
}
