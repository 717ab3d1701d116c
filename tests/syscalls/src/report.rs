//! Reads what a guest program printed.

/// What became of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Ok,
    /// It failed.
    Failed,
    /// It said that it cannot run here.
    Skipped,
}

/// One case of a guest program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub why: String,
}

/// All cases of a guest program.
#[derive(Debug)]
pub struct Report {
    /// In the order in which they ran.
    pub cases: Vec<Case>,
    /// Whether the program reached its end.
    pub is_complete: bool,
}

impl Report {
    /// Reads the lines `ok NAME`, `FAIL NAME: why`, `skip NAME: why` and the closing `done COUNT`;
    /// other lines are of no account. A case may be told twice (once by itself with the reason,
    /// once by its parent): the first telling counts.
    #[must_use]
    pub fn read(output: &str) -> Self {
        let mut cases: Vec<Case> = Vec::new();
        for case in output.lines().filter_map(read_line) {
            if !cases.iter().any(|known| known.name == case.name) {
                cases.push(case);
            }
        }
        let count = output.lines().find_map(|line| line.strip_prefix("done ")?.parse().ok());
        let is_complete = count == Some(cases.len());
        Self { cases, is_complete }
    }
}

fn read_line(line: &str) -> Option<Case> {
    let (word, rest) = line.split_once(' ')?;
    let outcome = match word {
        "ok" => Outcome::Ok,
        "FAIL" => Outcome::Failed,
        "skip" => Outcome::Skipped,
        _ => return None,
    };
    let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
    Some(Case { name: name.to_owned(), outcome, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_telling_of_a_case_counts() {
        let report = Report::read("FAIL a: x.c:3: fork\nFAIL a: status 1\nok b\ndone 2\n");
        assert_eq!(report.cases.len(), 2);
        assert_eq!(report.cases[0].why, "x.c:3: fork");
        assert_eq!(report.cases[1].outcome, Outcome::Ok);
        assert!(report.is_complete);
    }

    #[test]
    fn a_program_that_died_half_way_is_not_complete() {
        assert!(!Report::read("ok a\n").is_complete);
        assert!(!Report::read("ok a\ndone 2\n").is_complete);
        assert!(!Report::read("").is_complete);
    }
}
