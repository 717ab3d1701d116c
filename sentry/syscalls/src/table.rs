//! The table of system calls: data, one line per call.

use std::fmt;

use abi::Errno;
use kernel::{Cx, SysResult, SyscallTable};

use crate::{
    Args, anon, attributes, creds, fd, futex, listing, lock, memory, path, poll, prctl, process,
    read_write, schedule, signal, socket, stat, strace, system, time, timer, transfer,
};

/// A handler.
pub type Handler = fn(&mut Cx<'_>, Args) -> SysResult;

/// How far a call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All of it.
    Full,
    /// Not what the text says.
    Partial(&'static str),
}

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The number.
    pub number: u64,
    /// The name.
    pub name: &'static str,
    /// How to print the arguments, one letter each (see [`strace`]).
    pub shape: &'static str,
    /// The handler.
    pub handler: Handler,
    /// How far it is served.
    pub support: Support,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

pub(crate) const fn full(
    number: u64,
    name: &'static str,
    shape: &'static str,
    handler: Handler,
) -> Entry {
    Entry { number, name, shape, handler, support: Support::Full }
}

pub(crate) const fn partial(
    number: u64,
    name: &'static str,
    shape: &'static str,
    handler: Handler,
    lacks: &'static str,
) -> Entry {
    Entry { number, name, shape, handler, support: Support::Partial(lacks) }
}

/// The families, each with its lines in order of number.
const FAMILIES: &[&[Entry]] = &[
    anon::TABLE,
    attributes::TABLE,
    creds::TABLE,
    fd::TABLE,
    futex::TABLE,
    listing::TABLE,
    lock::TABLE,
    memory::TABLE,
    path::TABLE,
    poll::TABLE,
    prctl::TABLE,
    process::TABLE,
    read_write::TABLE,
    schedule::TABLE,
    signal::TABLE,
    socket::TABLE,
    stat::TABLE,
    system::TABLE,
    time::TABLE,
    timer::TABLE,
    transfer::TABLE,
];

/// One more than the highest number that can be served.
const SIZE: usize = 512;

/// The families by number, built at compile time; two lines of one number do not compile.
#[expect(clippy::cast_possible_truncation, reason = "the index is checked, at compile time")]
static BY_NUMBER: [Option<Entry>; SIZE] = {
    let mut by_number = [None; SIZE];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut line = 0;
        while line < FAMILIES[family].len() {
            let entry = FAMILIES[family][line];
            let index = entry.number as usize;
            assert!(by_number[index].is_none(), "two lines for one number");
            by_number[index] = Some(entry);
            line += 1;
        }
        family += 1;
    }
    by_number
};

/// All calls that are served, in order of number.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    BY_NUMBER.iter().flatten()
}

/// The line of call `number`.
#[must_use]
pub fn entry(number: u64) -> Option<&'static Entry> {
    BY_NUMBER.get(usize::try_from(number).ok()?)?.as_ref()
}

/// The table, as the kernel calls it.
#[derive(Debug, Default)]
pub struct Table {
    /// Print every call with its arguments and result.
    pub strace: bool,
}

impl SyscallTable for Table {
    fn call(&self, cx: &mut Cx<'_>, number: u64, args: [u64; 6]) -> SysResult {
        let args = Args(args);
        let Some(entry) = entry(number) else {
            // Numbers beyond the table count together: a program may try any.
            let counted = number.min(SIZE as u64);
            *cx.kernel().unknown_calls.lock().entry(counted).or_insert(0) += 1;
            if self.strace {
                strace::unknown(cx, number, args);
            }
            return Err(Errno::ENOSYS);
        };
        if !self.strace {
            return (entry.handler)(cx, args);
        }
        let call = strace::enter(cx, entry, args);
        let result = (entry.handler)(cx, args);
        strace::leave(cx, entry, args, &call, result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn every_line_has_the_number_of_its_name() {
        for entry in entries() {
            assert_eq!(names::name_of(entry.number), Some(entry.name), "{entry:?}");
        }
    }

    #[test]
    fn every_line_prints_at_most_six_arguments() {
        assert!(entries().all(|entry| entry.shape.len() <= 6));
    }
}
