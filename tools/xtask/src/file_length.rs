//! No long files: beyond a screenful of screens nobody reads them whole.

use crate::sources::{Source, ending_in};

const FAILS_LINES: usize = 1_000;
const WARNS_LINES: usize = 600;

/// Hand-written code.
const CODE: &[&str] = &[".rs", ".c", ".h", ".s", ".S", ".py", ".sh"];

/// Complains about files over the limit; prints those near it.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in ending_in(sources, CODE) {
        let lines = source.text.lines().count();
        let said = format!("{}: {lines} lines", source.path);
        if lines > FAILS_LINES {
            complaints.push(format!("{said}, more than {FAILS_LINES}: split it"));
        } else if lines > WARNS_LINES {
            eprintln!("warning: {said}, more than {WARNS_LINES}");
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, lines: usize) -> Source {
        Source { path: name.into(), text: "x\n".repeat(lines) }
    }

    #[test]
    fn only_code_over_the_limit_is_complained_about() {
        let sources = [file("a.rs", 1_000), file("b.rs", 1_001), file("c.txt", 5_000)];
        let complaints = check(&sources);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("b.rs: 1001"), "{complaints:?}");
    }
}
