//! The seccomp filters of a stub's threads: a second wall, which counts when a call of an
//! application is continued for real although SYSEMU should have stopped it.

use crate::{call, layout, order, stub};

/// One instruction of classic BPF (`struct sock_filter`, linux/filter.h).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    operand: u32,
}

impl Instruction {
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_le_bytes());
        bytes[2] = self.jump_true;
        bytes[3] = self.jump_false;
        bytes[4..].copy_from_slice(&self.operand.to_le_bytes());
        bytes
    }
}

// linux/bpf_common.h
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
// linux/seccomp.h
const ALLOW: u32 = 0x7fff_0000;
const TRAP: u32 = 0x0003_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const IP: u32 = 8;
const ARGS: u32 = 16;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// The vsyscall page: the host emulates its three functions without a stop under SYSEMU.
pub(crate) const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;

/// What a rule asks of a call.
enum Test {
    /// Argument n, 64 bits.
    Is(u32, u64),
    /// Argument n, 32 bits.
    Is32(u32, u32),
    /// Argument n, 32 bits.
    AtLeast32(u32, u32),
    /// Argument n is an address that applications may map.
    Application(u32),
    /// The address behind the call's instruction.
    From(u64),
}

#[derive(Default)]
struct Program(Vec<Instruction>);

impl Program {
    /// Begins a program: no other architecture, and a call through the vsyscall page becomes a
    /// SIGSYS, that is, a stop.
    fn new() -> Self {
        let mut this = Self::default();
        this.load(ARCH);
        this.jump(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0);
        this.finish(KILL_PROCESS);
        this.load(IP + 4);
        this.jump(JUMP_EQUAL, high(VSYSCALL), 0, 4);
        this.load(IP);
        this.push(AND, 0xffff_f000);
        this.jump(JUMP_EQUAL, low(VSYSCALL), 0, 1);
        this.finish(TRAP);
        this
    }

    fn push(&mut self, code: u16, operand: u32) {
        self.0.push(Instruction { code, jump_true: 0, jump_false: 0, operand });
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, offset);
    }

    fn finish(&mut self, verdict: u32) {
        self.push(RETURN, verdict);
    }

    fn jump(&mut self, code: u16, operand: u32, jump_true: u8, jump_false: u8) {
        self.0.push(Instruction { code, jump_true, jump_false, operand });
    }

    /// Allows a call that passes all `tests`.
    fn allow(mut self, number: u64, tests: &[Test]) -> Self {
        // (position of a jump, true if it leaves the rule when its comparison holds)
        let mut exits = Vec::new();
        self.load(NUMBER);
        self.unless_equal(low(number), &mut exits);
        for test in tests {
            match *test {
                Test::Is(arg, value) => {
                    self.load(ARGS + 8 * arg);
                    self.unless_equal(low(value), &mut exits);
                    self.load(ARGS + 8 * arg + 4);
                    self.unless_equal(high(value), &mut exits);
                }
                Test::Is32(arg, value) => {
                    self.load(ARGS + 8 * arg);
                    self.unless_equal(value, &mut exits);
                }
                Test::AtLeast32(arg, value) => {
                    self.load(ARGS + 8 * arg);
                    exits.push((self.0.len(), false));
                    self.jump(JUMP_AT_LEAST, value, 0, 0);
                }
                Test::Application(arg) => {
                    self.load(ARGS + 8 * arg + 4);
                    exits.push((self.0.len(), true));
                    self.jump(JUMP_AT_LEAST, high(abi::USER_MAX.get()), 0, 0);
                }
                Test::From(ip) => {
                    self.load(IP);
                    self.unless_equal(low(ip), &mut exits);
                    self.load(IP + 4);
                    self.unless_equal(high(ip), &mut exits);
                }
            }
        }
        self.finish(ALLOW);
        for (at, when) in exits {
            let distance = u8::try_from(self.0.len() - at - 1).unwrap_or(u8::MAX);
            let jump = &mut self.0[at];
            *(if when { &mut jump.jump_true } else { &mut jump.jump_false }) = distance;
        }
        self
    }

    fn unless_equal(&mut self, value: u32, exits: &mut Vec<(usize, bool)>) {
        exits.push((self.0.len(), false));
        self.jump(JUMP_EQUAL, value, 0, 0);
    }

    fn end(mut self) -> Vec<Instruction> {
        self.finish(KILL_PROCESS);
        self.0
    }
}

/// A filter that lets `numbers` pass and refuses all else.
#[cfg(test)]
pub(crate) fn refusing_all_but(numbers: impl Iterator<Item = u64>) -> Vec<Instruction> {
    const ERRNO: u32 = 0x0005_0000;
    let mut program = numbers.fold(Program::new(), |program, number| program.allow(number, &[]));
    program.finish(ERRNO | libc::ENOSYS.unsigned_abs());
    program.0
}

fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

fn high(value: u64) -> u32 {
    low(value >> 32)
}

/// The filter of application threads: the `pause` in which a fresh carrier waits for its
/// executor, and nothing else.
pub(crate) fn application() -> Vec<Instruction> {
    Program::new().allow(call::PAUSE, &[Test::From(stub::parked())]).end()
}

/// The filter of service threads, which carriers inherit: their set-up is part of it.
pub(crate) fn service() -> Vec<Instruction> {
    use Test::{Application, AtLeast32, From, Is, Is32};
    let socket = low(layout::fd::SOCKET);
    let donated = low(layout::fd::DONATED);
    let scratch = Is(0, layout::SCRATCH);
    Program::new()
        .allow(call::FUTEX, &[Is(0, layout::ORDERS), Is32(1, 0)])
        .allow(call::WRITE, &[Is32(0, socket), Is(1, layout::ACK), Is(2, 1)])
        .allow(call::MMAP, &[Application(0), Is(3, call::MAP_FILE)])
        .allow(call::MPROTECT, &[Application(0)])
        .allow(call::MUNMAP, &[Application(0)])
        .allow(call::LSEEK, &[Is32(0, low(layout::fd::ORDERS)), Is32(2, 0)])
        .allow(call::CLONE, &[Is(0, layout::CLONE_CARRIER), Is(1, 0)])
        .allow(call::SECCOMP, &[Is32(0, 1), Is(2, layout::APPLICATION_FILTER)])
        .allow(call::PAUSE, &[From(stub::parked())])
        .allow(call::MMAP, &[scratch, Is(3, call::MAP_OWN)])
        .allow(call::RECVMSG, &[Is32(0, socket), Is(1, layout::SCRATCH)])
        .allow(call::MUNMAP, &[Is(0, layout::SCRATCH), Is(1, layout::SCRATCH_BYTES as u64)])
        .allow(call::CLOSE, &[AtLeast32(0, donated)])
        .allow(call::CLONE, &[Is(0, layout::CLONE_SPACE), Is(1, 0)])
        .allow(call::PRCTL, &[Is32(0, 1), Is(1, 9)])
        .allow(call::GETPPID, &[])
        .allow(call::DUP2, &[Is32(0, donated), Is32(1, low(layout::fd::ORDERS))])
        .allow(call::DUP2, &[Is32(0, donated + 1), Is32(1, socket)])
        .allow(call::MMAP, &[Is(0, layout::ORDERS), Is32(2, 1), Is(3, call::MAP_FILE)])
        .allow(call::EXIT_GROUP, &[])
        .end()
}

/// What fits where `order.rs` says.
const _: () = assert!(order::BLOB + 256 <= layout::ORDERS_BYTES);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::filters::{APPLICATION_THREAD_CALLS, SERVICE_THREAD_CALLS};

    fn numbers(program: &[Instruction]) -> BTreeSet<u32> {
        let tests = program.windows(2).filter(|pair| {
            pair[0].code == LOAD && pair[0].operand == NUMBER && pair[1].code == JUMP_EQUAL
        });
        tests.map(|pair| pair[1].operand).collect()
    }

    #[test]
    fn the_lists_of_calls_are_as_long_as_the_filters_are() {
        assert_eq!(numbers(&application()).len(), APPLICATION_THREAD_CALLS.len());
        assert_eq!(numbers(&service()).len(), SERVICE_THREAD_CALLS.len());
    }

    #[test]
    fn every_jump_stays_in_its_program_and_every_program_ends() {
        for program in [application(), service()] {
            for (at, instruction) in program.iter().enumerate() {
                let farthest = instruction.jump_true.max(instruction.jump_false);
                assert!(at + usize::from(farthest) < program.len());
            }
            let last = program[program.len() - 1];
            assert_eq!((last.code, last.operand), (RETURN, KILL_PROCESS));
        }
    }
}
