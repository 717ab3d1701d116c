//! `#!` scripts (execve(2), "Interpreter scripts").

use abi::Errno;

/// How much of a file is looked at (`BINPRM_BUF_SIZE`).
pub(super) const LINE_MAX_BYTES: usize = 256;
/// How many scripts may be interpreters of one another, as on Linux.
pub(super) const DEPTH_MAX: usize = 5;

/// The first line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The path of the interpreter.
    pub(super) interpreter: Vec<u8>,
    /// Its one optional argument: all that follows, inner blanks included.
    pub(super) argument: Option<Vec<u8>>,
}

impl Script {
    /// Reads the line from the start of a file, of which at most [`LINE_MAX_BYTES`] are given;
    /// `None` if it is no script.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` if no interpreter is named, or its name is cut off.
    pub(super) fn parse(start: &[u8]) -> Result<Option<Self>, Errno> {
        let Some(rest) = start.strip_prefix(b"#!") else { return Ok(None) };
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let cut_off = end.is_none() && start.len() >= LINE_MAX_BYTES;
        let line = strip(line);
        let stop = line.iter().position(|byte| is_blank(*byte) || *byte == 0);
        if line.is_empty() || (cut_off && stop.is_none()) {
            return Err(Errno::ENOEXEC);
        }
        let (interpreter, argument) = line.split_at(stop.unwrap_or(line.len()));
        if interpreter.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        let argument = strip(argument).split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Some(Self {
            interpreter: interpreter.to_vec(),
            argument: (!argument.is_empty()).then(|| argument.to_vec()),
        }))
    }

    /// The arguments of the interpreter: itself, its argument, the script, the script's own
    /// arguments.
    pub(super) fn arguments(&self, script: &[u8], argv: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let own = [Some(self.interpreter.clone()), self.argument.clone(), Some(script.to_vec())];
        own.into_iter().flatten().chain(argv.into_iter().skip(1)).collect()
    }
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn strip(line: &[u8]) -> &[u8] {
    let first = line.iter().position(|byte| !is_blank(*byte)).unwrap_or(line.len());
    let last = line.iter().rposition(|byte| !is_blank(*byte)).map_or(first, |last| last + 1);
    line.get(first..last).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(interpreter: &[u8], argument: Option<&[u8]>) -> Result<Option<Script>, Errno> {
        let (interpreter, argument) = (interpreter.to_vec(), argument.map(<[u8]>::to_vec));
        Ok(Some(Script { interpreter, argument }))
    }

    #[test]
    fn the_line_is_split_into_a_path_and_one_argument() {
        assert_eq!(Script::parse(b"#!/bin/sh\necho"), script(b"/bin/sh", None));
        assert_eq!(Script::parse(b"#! \t/bin/sh \t-e  -x \n"), script(b"/bin/sh", Some(b"-e  -x")));
        assert_eq!(Script::parse(b"#!/bin/sh"), script(b"/bin/sh", None));
        assert_eq!(Script::parse(b"#!/bin/env perl\0x"), script(b"/bin/env", Some(b"perl")));
        assert_eq!(Script::parse(b"\x7fELF"), Ok(None));
        assert_eq!(Script::parse(b"#"), Ok(None));
    }

    #[test]
    fn a_line_without_an_interpreter_is_refused() {
        for start in [&b"#!"[..], b"#!\n/bin/sh", b"#!   \n", b"#!\0"] {
            assert_eq!(Script::parse(start), Err(Errno::ENOEXEC), "{start:?}");
        }
    }

    #[test]
    fn a_path_that_is_cut_off_is_refused_but_an_argument_is_shortened() {
        let mut long = b"#!/".to_vec();
        long.resize(LINE_MAX_BYTES, b'a');
        assert_eq!(Script::parse(&long), Err(Errno::ENOEXEC));
        let mut long = b"#!/bin/sh ".to_vec();
        long.resize(LINE_MAX_BYTES, b'a');
        assert_eq!(Script::parse(&long), script(b"/bin/sh", Some(&[b'a'; 246])));
    }

    #[test]
    fn the_interpreter_gets_the_script_in_place_of_its_name() {
        let script = Script { interpreter: b"/bin/sh".to_vec(), argument: Some(b"-e".to_vec()) };
        let words = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        assert_eq!(
            script.arguments(b"/x/run", words(&["run", "1", "2"])),
            words(&["/bin/sh", "-e", "/x/run", "1", "2"])
        );
        assert_eq!(script.arguments(b"run", vec![]), words(&["/bin/sh", "-e", "run"]));
    }
}
