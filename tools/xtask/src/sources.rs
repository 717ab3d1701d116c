//! The files that rules read.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use proc_macro2::TokenStream;

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the repository.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// Its tokens, if it is Rust: comments are gone and strings are whole.
    ///
    /// # Errors
    ///
    /// When it is not Rust.
    pub(crate) fn tokens(&self) -> Result<TokenStream> {
        self.text.parse().map_err(|error| anyhow!("{}: {error}", self.path))
    }

    /// The line, counted from 1, where `word` first stands outside a comment.
    ///
    /// Tokens know no lines (the crate feature for it would make all macros build twice).
    pub(crate) fn line_of(&self, word: &str) -> usize {
        let is_code = |line: &str| !line.trim_start().starts_with("//") && line.contains(word);
        self.text.lines().position(is_code).map_or(0, |index| index + 1)
    }
}

/// Every text file that is tracked or could be (not ignored).
///
/// # Errors
///
/// When git cannot list them.
pub(crate) fn all(root: &Path) -> Result<Vec<Source>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    ensure!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
    let read = |path: &str| {
        // A tracked file may be gone from the work tree, and a binary has no text.
        let text = fs::read_to_string(root.join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    };
    Ok(names.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect())
}

/// Only those whose name ends with one of `endings`.
pub(crate) fn ending_in<'a>(
    sources: &'a [Source],
    endings: &'a [&str],
) -> impl Iterator<Item = &'a Source> {
    sources.iter().filter(move |source| endings.iter().any(|end| source.path.ends_with(end)))
}
