//! Unwind tables of the vDSO (LSB, "Exception Frames"): all of its code leaves the stack alone, so
//! one rule holds everywhere: the return address is what the stack pointer points to.

use super::image::{Table, push32, word};

/// How the common part encodes addresses: four bytes, signed, relative to where they stand.
const PC_RELATIVE: u8 = 0x1b;
/// Bytes of the common part, with its length.
const COMMON_BYTES: usize = 24;

/// `.eh_frame` at offset `at`: the common part (CIE), one frame (FDE) for the code, the end.
pub(super) fn frames(at: usize, text: Table) -> Vec<u8> {
    let mut table = Vec::new();
    push32(&mut table, &[word(COMMON_BYTES - 4), 0]);
    // Version; augmentation; alignments of code (1) and data (-8); the column of the return
    // address; bytes of the augmentation; how addresses are written.
    table.extend_from_slice(b"\x01zR\0\x01\x78\x10\x01");
    table.push(PC_RELATIVE);
    // DW_CFA_def_cfa rsp + 8; DW_CFA_offset return address at -8; then DW_CFA_nop.
    table.extend_from_slice(&[0x0c, 7, 8, 0x90, 1]);
    table.resize(COMMON_BYTES, 0);
    push32(&mut table, &[20, word(COMMON_BYTES + 4)]);
    let begin = distance(at + table.len(), text.at);
    push32(&mut table, &[begin, word(text.len)]);
    // No augmentation, no rules of its own; then the end.
    table.extend_from_slice(&[0; 8]);
    push32(&mut table, &[0]);
    table
}

/// `.eh_frame_hdr` at offset `at`: where the frames are, and a table of one to search in.
pub(super) fn header(at: usize, frames: Table, text: Table) -> Vec<u8> {
    // Version; how the address of the frames, their count and the table are written.
    let mut table = vec![1, PC_RELATIVE, 0x03, 0x3b];
    push32(&mut table, &[distance(at + 4, frames.at), 1]);
    push32(&mut table, &[distance(at, text.at), distance(at, frames.at + COMMON_BYTES)]);
    table
}

/// `to` relative to `from`.
fn distance(from: usize, to: usize) -> u32 {
    word(to).wrapping_sub(word(from))
}
