//! No text that only means something on one machine or to one session.

use crate::sources::Source;

/// Pattern and why it may not stand in a file. Cut in two, so that this file passes its own rule.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("../", "shared"), "the repository must be readable alone"),
    (concat!("/work", "/"), "a path of one machine"),
    (concat!("/tmp/", "target-"), "a path of one machine"),
    (concat!("/root/", ".cargo"), "a path of one machine"),
    (concat!("/.rust", "up/"), "a path of one machine"),
    (concat!("index.", "crates.io"), "a registry's host"),
    (concat!("static.", "crates.io"), "a registry's host"),
    (concat!("deb.", "debian.org"), "a registry's host"),
    (concat!("snapshot.", "debian.org"), "a registry's host"),
    (concat!("files.", "pythonhosted.org"), "a registry's host"),
    (concat!("registry.", "npmjs.org"), "a registry's host"),
    (concat!("proxy.", "golang.org"), "a registry's host"),
];

/// Complains about each line with a forbidden text; lock files are generated and exempt.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("Cargo.lock")) {
        for (number, line) in source.text.lines().enumerate() {
            for (pattern, why) in FORBIDDEN.iter().filter(|(pattern, _)| line.contains(pattern)) {
                complaints.push(format!("{}:{}: `{pattern}`: {why}", source.path, number + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_path_is_found_with_its_line_but_not_in_the_lock_file() {
        let text = format!("fine\nsee {}x\n", FORBIDDEN[1].0);
        let sources = [
            Source { path: "a.md".into(), text: text.clone() },
            Source { path: "fuzz/Cargo.lock".into(), text },
        ];
        let complaints = check(&sources);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("a.md:2:"), "{complaints:?}");
    }
}
