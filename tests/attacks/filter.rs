//! The seccomp filters of a process, read back and explored.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

/// One instruction of classic BPF (`struct sock_filter`, linux/filter.h).
pub type Instruction = libc::sock_filter;

/// `AUDIT_ARCH_X86_64` (linux/audit.h).
const ARCH: u32 = 0xc000_003e;
/// `PTRACE_SECCOMP_GET_FILTER` (linux/ptrace.h).
const GET_FILTER: libc::c_uint = 0x420c;
/// Highest number that is asked about: beyond the table of any kernel so far.
const NUMBERS: u32 = 600;

/// Reads all filters of the thread `pid`, newest first.
///
/// The thread must not be traced by anybody else.
///
/// # Errors
///
/// When it cannot be stopped, or the kernel tells no filters.
pub fn installed(pid: i32) -> Result<Vec<Vec<Instruction>>> {
    ptrace(libc::PTRACE_SEIZE, pid, 0, 0)?;
    let filters = read_stopped(pid);
    ptrace(libc::PTRACE_DETACH, pid, 0, 0)?;
    filters
}

fn read_stopped(pid: i32) -> Result<Vec<Vec<Instruction>>> {
    ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0)?;
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    ensure!(waited == pid, "waitpid: {}", std::io::Error::last_os_error());
    let mut filters = Vec::new();
    loop {
        let Ok(len) = ptrace(GET_FILTER, pid, filters.len(), 0) else {
            // ENOENT: there is none of this index.
            return Ok(filters);
        };
        let empty = Instruction { code: 0, jt: 0, jf: 0, k: 0 };
        let mut program = vec![empty; usize::try_from(len)?];
        let place = program.as_mut_ptr().addr();
        ptrace(GET_FILTER, pid, filters.len(), place)?;
        filters.push(program);
    }
}

fn ptrace(request: libc::c_uint, pid: i32, address: usize, data: usize) -> Result<i64> {
    // SAFETY: requests that write do so to `data`, which the callers make as large as the kernel said.
    let got = unsafe { libc::ptrace(request, pid, address, data) };
    if got == -1 {
        bail!("ptrace {request:#x} of {pid}: {}", std::io::Error::last_os_error());
    }
    Ok(got)
}

/// The numbers of all calls that every one of `filters` lets through for some arguments.
#[must_use]
pub fn allowed(filters: &[Vec<Instruction>]) -> Vec<u32> {
    (0..NUMBERS).filter(|number| filters.iter().all(|filter| may_allow(filter, *number))).collect()
}

/// Whether some way through `program` allows the call: unknown values take both ways.
fn may_allow(program: &[Instruction], number: u32) -> bool {
    let mut seen = BTreeSet::new();
    let mut ways = vec![(0_usize, Some(0_u32))];
    while let Some((at, value)) = ways.pop() {
        let Some(instruction) = program.get(at) else { continue };
        if !seen.insert((at, value)) {
            continue;
        }
        match step(*instruction, value, number) {
            Step::Go(value) => ways.push((at + 1, value)),
            Step::Branch { taken, not_taken } => {
                let (yes, no) = (usize::from(instruction.jt), usize::from(instruction.jf));
                ways.extend(taken.then_some((at + 1 + yes, value)));
                ways.extend(not_taken.then_some((at + 1 + no, value)));
            }
            Step::Jump(by) => ways.push((at + 1 + by, value)),
            Step::Return(allows) => {
                if allows {
                    return true;
                }
            }
        }
    }
    false
}

enum Step {
    Go(Option<u32>),
    Branch { taken: bool, not_taken: bool },
    Jump(usize),
    Return(bool),
}

/// One instruction with the accumulator `value`, `None` if it is not known.
fn step(instruction: Instruction, value: Option<u32>, number: u32) -> Step {
    let constant = instruction.k;
    match instruction.code {
        // BPF_LD | BPF_W | BPF_ABS, offsets in `struct seccomp_data`.
        0x20 => Step::Go(match constant {
            0 => Some(number),
            4 => Some(ARCH),
            _ => None,
        }),
        // BPF_JMP | BPF_JA
        0x05 => Step::Jump(constant.try_into().unwrap_or(usize::MAX)),
        // BPF_JMP with a constant: JEQ, JGT, JGE, JSET
        0x15 => branch(value.map(|value| value == constant)),
        0x25 => branch(value.map(|value| value > constant)),
        0x35 => branch(value.map(|value| value >= constant)),
        0x45 => branch(value.map(|value| value & constant != 0)),
        // BPF_RET | BPF_K: SECCOMP_RET_LOG and SECCOMP_RET_ALLOW let the call through.
        0x06 => Step::Return(constant & 0xffff_0000 >= 0x7ffc_0000 && constant < 0x8000_0000),
        // BPF_RET | BPF_A: whatever it is, it is not counted as refused.
        0x16 => Step::Return(true),
        // Arithmetic, memory, the index register: the value is not followed.
        _ => Step::Go(None),
    }
}

const fn branch(known: Option<bool>) -> Step {
    match known {
        Some(taken) => Step::Branch { taken, not_taken: !taken },
        None => Step::Branch { taken: true, not_taken: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn op(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const KILL: u32 = 0x8000_0000;

    /// Allows call 1 always, call 2 if its first argument is 7.
    fn program() -> Vec<Instruction> {
        vec![
            op(0x20, 4, 0, 0),
            op(0x15, ARCH, 0, 5),
            op(0x20, 0, 0, 0),
            op(0x15, 1, 4, 0),
            op(0x15, 2, 0, 2),
            op(0x20, 16, 0, 0),
            op(0x15, 7, 1, 0),
            op(0x06, KILL, 0, 0),
            op(0x06, ALLOW, 0, 0),
        ]
    }

    #[test]
    fn a_call_counts_if_some_arguments_are_allowed() {
        assert_eq!(allowed(&[program()]), [1, 2]);
    }

    #[test]
    fn every_filter_must_agree() {
        let second =
            vec![op(0x20, 0, 0, 0), op(0x15, 2, 0, 1), op(0x06, ALLOW, 0, 0), op(0x06, KILL, 0, 0)];
        assert_eq!(allowed(&[program(), second]), [2]);
    }

    #[test]
    fn an_errno_is_a_refusal_and_no_filter_allows_all() {
        assert!(allowed(&[vec![op(0x06, 0x0005_0026, 0, 0)]]).is_empty());
        assert_eq!(allowed(&[]).len(), 600);
    }

    #[test]
    fn the_filters_of_a_process_can_be_read_back() {
        // It has as many as `Seccomp_filters` says; an unconfined child has none.
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let filters = installed(i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let own = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        let own: usize = own.map_or(0, |count| count.trim().parse().unwrap());
        assert_eq!(filters.unwrap().len(), own);
    }
}
