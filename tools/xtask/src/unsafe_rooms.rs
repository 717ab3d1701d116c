//! `unsafe` only in the rooms that `unsafe-rooms.txt` lists.

use anyhow::Result;
use cargo_metadata::Metadata;
use proc_macro2::{TokenStream, TokenTree};

use crate::sources::{Source, ending_in};

/// The listed rooms: a folder with `/` at its end, or a file.
const LIST: &str = include_str!("../unsafe-rooms.txt");

fn rooms(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
}

fn is_in_room(list: &str, path: &str) -> bool {
    rooms(list).any(|room| path == room || (room.ends_with('/') && path.starts_with(room)))
}

fn says_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "unsafe",
        TokenTree::Group(group) => says_unsafe(group.stream()),
        _ => false,
    })
}

/// Complains about `unsafe` outside the rooms.
///
/// # Errors
///
/// When a file is not Rust.
pub(crate) fn check(sources: &[Source]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for source in ending_in(sources, &[".rs"]).filter(|source| !is_in_room(LIST, &source.path)) {
        if says_unsafe(source.tokens()?) {
            let line = source.line_of("unsafe");
            complaints.push(format!("{}:{line}: `unsafe` outside the rooms", source.path));
        }
    }
    Ok(complaints)
}

/// Complains about roots of libraries and programs outside the rooms that do not forbid `unsafe`.
///
/// Roots of tests need not: the workspace denies it there, and the scan finds who allows it again.
/// A crate with a room inside it cannot; there the workspace's `deny` stands.
pub(crate) fn check_roots(metadata: &Metadata, sources: &[Source]) -> Vec<String> {
    let root = &metadata.workspace_root;
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().and_then(|path| path.strip_prefix(root).ok());
        let Some(folder) = folder else { continue };
        for target in &package.targets {
            if !(target.is_lib() || target.is_bin() || target.is_proc_macro()) {
                continue;
            }
            let Ok(path) = target.src_path.strip_prefix(root) else { continue };
            let has_room = rooms(LIST).any(|room| room.starts_with(&format!("{folder}/src/")));
            if is_in_room(LIST, path.as_str()) || has_room {
                continue;
            }
            let forbids = sources
                .iter()
                .filter(|source| source.path == path.as_str())
                .any(|source| source.text.contains("#![forbid(unsafe_code)]"));
            if !forbids {
                complaints.push(format!("{path}: crate root without #![forbid(unsafe_code)]"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_block_outside_the_rooms_is_found_with_its_line() {
        let complaints = check(&[source("sentry/mm/src/a.rs", "fn f() {\n unsafe { g() }\n}")]);
        let complaints = complaints.unwrap();
        assert_eq!(complaints, ["sentry/mm/src/a.rs:2: `unsafe` outside the rooms"]);
    }

    #[test]
    fn comments_strings_and_lint_names_do_not_count() {
        let text = "#![forbid(unsafe_code)]\n// unsafe\nconst S: &str = \"unsafe\";";
        assert!(check(&[source("sentry/mm/src/a.rs", text)]).unwrap().is_empty());
    }

    #[test]
    fn a_room_may_be_a_folder_or_one_file() {
        let block = "fn f() { unsafe { g() } }";
        let inside = [source("vmm/src/a.rs", block), source("runsc/src/sandbox/spawn.rs", block)];
        assert!(check(&inside).unwrap().is_empty());
        assert_eq!(check(&[source("runsc/src/sandbox/other.rs", block)]).unwrap().len(), 1);
    }
}
