//! Modules of one crate that may not know one another.

use anyhow::Result;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::{Source, ending_in};

/// In these folders no module folder may name another one: each is a thing of one kind.
/// Files that lie directly in the folder, and the folder `base`, are shared by all.
const STRANGERS: &[&str] = &["sentry/fs/src/"];

/// The folder of building blocks in such a folder.
const SHARED: &str = "base";

/// Files that may name a module all the same, each with its reason.
const EXCEPT: &[(&str, &str, &str)] = &[(
    "sentry/fs/src/base/shared.rs",
    "gofer",
    "a save walks the trees of all Gofers, and `Shared` is what it starts from",
)];

/// Modules (folder, own name) and the modules of the same crate that they may not name: an order
/// inside the crate.
const BELOW: &[(&str, &str, &[&str])] = &[
    ("sentry/kernel/src/", "time", &["task"]),
    ("sentry/kernel/src/", "ipc", &["task"]),
    ("sentry/kernel/src/", "namespace", &["task"]),
    ("sentry/net/src/", "link", &["stack", "socket"]),
    ("sentry/net/src/", "stack", &["socket"]),
];

/// First names after `crate::`, also those in a group `crate::{a, b}`.
fn crate_paths(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(ident) if ident == "crate" => {
                // `crate` `:` `:` NAME or GROUP
                names_of(tokens.get(index + 3), found);
            }
            TokenTree::Group(group) => crate_paths(group.stream(), found),
            _ => {}
        }
    }
}

fn names_of(token: Option<&TokenTree>, found: &mut Vec<String>) {
    match token {
        Some(TokenTree::Ident(name)) => found.push(name.to_string()),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let mut starts = true;
            for token in group.stream() {
                match &token {
                    TokenTree::Ident(_) if starts => names_of(Some(&token), found),
                    TokenTree::Punct(comma) if comma.as_char() == ',' => {
                        starts = true;
                        continue;
                    }
                    _ => {}
                }
                starts = false;
            }
        }
        _ => {}
    }
}

/// What the module that `path` belongs to may not name, given all `folders` of its crate.
fn forbidden_names<'a>(path: &str, folders: &'a [(&'a str, &'a str)]) -> Vec<&'a str> {
    let strangers = STRANGERS.iter().flat_map(|crate_folder| {
        let own = path.strip_prefix(crate_folder).and_then(|rest| rest.split_once('/'));
        let others = folders.iter().filter(move |(folder, name)| {
            let stranger = *name != SHARED && own.is_some_and(|(own, _)| own != *name);
            folder == crate_folder && stranger
        });
        others.map(|(_, name)| *name)
    });
    let below = BELOW.iter().filter(|(folder, own, _)| {
        path.strip_prefix(folder).is_some_and(|rest| {
            rest.strip_prefix(own).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        })
    });
    strangers.chain(below.flat_map(|(_, _, names)| names.iter().copied())).collect()
}

/// Complains about paths into a module that the file may not know.
///
/// # Errors
///
/// When a file is not Rust.
pub(crate) fn check(sources: &[Source]) -> Result<Vec<String>> {
    let folders: Vec<(&str, &str)> = STRANGERS
        .iter()
        .flat_map(|folder| sources.iter().map(move |source| (*folder, source)))
        .filter_map(|(folder, source)| {
            let (name, _) = source.path.strip_prefix(folder)?.split_once('/')?;
            Some((folder, name))
        })
        .collect();
    let mut complaints = Vec::new();
    for source in ending_in(sources, &[".rs"]) {
        let forbidden = forbidden_names(&source.path, &folders);
        if forbidden.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        crate_paths(source.tokens()?, &mut found);
        found.dedup();
        found.retain(|name| {
            let excepted = |(path, module, _): &(&str, &str, &str)| {
                *path == source.path && *module == name.as_str()
            };
            forbidden.contains(&name.as_str()) && !EXCEPT.iter().any(excepted)
        });
        for name in &found {
            let line = source.line_of(&format!("crate::{name}"));
            complaints.push(format!("{}:{line}: may not know crate::{name}", source.path));
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn one_file_system_may_not_import_another() {
        let sources = [
            source("sentry/fs/src/tmpfs/fs.rs", "use crate::shared::X;\nuse crate::procfs::Y;"),
            source("sentry/fs/src/procfs/fs.rs", "use crate::procfs::inode::Y;"),
            source("sentry/fs/src/shared.rs", "use crate::procfs::Y;"),
        ];
        let complaints = check(&sources).unwrap();
        assert_eq!(complaints, ["sentry/fs/src/tmpfs/fs.rs:2: may not know crate::procfs"]);
    }

    #[test]
    fn names_inside_a_group_count_but_not_deeper_ones() {
        let text = "use crate::{a::procfs, procfs::{x, y}};";
        let sources =
            [source("sentry/fs/src/tmpfs/fs.rs", text), source("sentry/fs/src/procfs/fs.rs", "")];
        assert_eq!(check(&sources).unwrap().len(), 1);
    }

    #[test]
    fn an_order_inside_a_crate_is_kept() {
        let sources = [
            source("sentry/kernel/src/time/timer.rs", "fn f(t: &crate::task::Task) {}"),
            source("sentry/kernel/src/task/mod.rs", "use crate::time::Timer;"),
        ];
        let complaints = check(&sources).unwrap();
        assert_eq!(complaints, ["sentry/kernel/src/time/timer.rs:1: may not know crate::task"]);
    }
}
