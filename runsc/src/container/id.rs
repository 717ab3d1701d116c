//! Names of containers.

use anyhow::{Result, ensure};

/// The longest file name of Linux file systems.
const LONGEST: usize = 255;

/// Checks that `id` can name a container, and a folder: no path can be built with it.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    ensure!(!id.is_empty() && id.len() <= LONGEST, "container id: expected 1 to {LONGEST} bytes");
    ensure!(
        id.chars().all(allowed) && id != "." && id != "..",
        "container id {id:?}: expected letters, digits and _ + - ."
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_engines_are_accepted() {
        for id in ["a", "0f3c", "web_1.2-x+y", "..a"] {
            check_id(id).unwrap();
        }
    }

    #[test]
    fn ids_that_could_leave_the_folder_are_refused() {
        for id in ["", ".", "..", "a/b", "/a", "a b", "a\0", "é", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }
}
