//! Go-style flags to the ones that the parser knows: `-flag` and `--flag` are the same, booleans take
//! `=true` and `=false`, and flags may stand anywhere before a container's own command.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

/// The arguments in the parser's form. Arguments of a command inside the container stay as they are.
pub(crate) fn normalise(command: &Command, argv: Vec<OsString>) -> Vec<OsString> {
    let mut walk = Walk { root: command, verb: None, positionals: 0, out: Vec::new() };
    let mut argv = argv.into_iter();
    walk.out.extend(argv.next());
    while let Some(argument) = argv.next() {
        if argument == "--" || walk.is_inner_command(&argument) {
            walk.out.push(argument);
            walk.out.extend(argv.by_ref());
        } else if let Some(flag) = Flag::parse(&argument) {
            walk.flag(&flag, argument, &mut argv);
        } else {
            walk.positional(argument);
        }
    }
    walk.out
}

/// `-name`, `--name` or either with `=value`.
struct Flag {
    name: String,
    value: Option<String>,
    /// One dash and one letter.
    short: bool,
}

impl Flag {
    fn parse(argument: &OsStr) -> Option<Self> {
        let text = argument.to_str()?;
        let body = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let short = !text.starts_with("--") && name.chars().count() == 1;
        (!name.is_empty()).then(|| Self { name: name.to_owned(), value, short })
    }

    fn is(&self, arg: &Arg) -> bool {
        if self.short {
            arg.get_short().is_some_and(|short| self.name.starts_with(short))
        } else {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(&self.name) || aliases.contains(&self.name.as_str())
        }
    }
}

struct Walk<'a> {
    root: &'a Command,
    verb: Option<&'a Command>,
    /// Positional arguments of the verb so far.
    positionals: usize,
    out: Vec<OsString>,
}

impl Walk<'_> {
    fn positional(&mut self, argument: OsString) {
        match self.verb {
            None => self.verb = self.root.find_subcommand(&argument),
            Some(_) => self.positionals += 1,
        }
        self.out.push(argument);
    }

    /// Does the container's own command begin here?
    fn is_inner_command(&self, argument: &OsStr) -> bool {
        let next = self.verb.and_then(|verb| verb.get_positionals().nth(self.positionals));
        next.is_some_and(Arg::is_trailing_var_arg_set) && Flag::parse(argument).is_none()
    }

    fn find(&self, flag: &Flag) -> Option<&Arg> {
        let verb = self.verb.into_iter().flat_map(Command::get_arguments);
        verb.chain(self.root.get_arguments()).find(|arg| flag.is(arg))
    }

    fn flag(&mut self, flag: &Flag, original: OsString, rest: &mut impl Iterator<Item = OsString>) {
        // What the parser does not know, it shall complain about in the user's words.
        let Some(arg) = self.find(flag) else { return self.out.push(original) };
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let name = match arg.get_long() {
            Some(long) => format!("--{long}"),
            None => format!("-{}", flag.name),
        };
        match (&flag.value, takes_value) {
            (Some(value), true) => self.out.push(format!("{name}={value}").into()),
            (None, true) => {
                self.out.push(name.into());
                self.out.extend(rest.next());
            }
            (None, false) => self.out.push(name.into()),
            (Some(value), false) => match boolean(value) {
                Some(true) => self.out.push(name.into()),
                Some(false) => {}
                None => self.out.push(format!("{name}={value}").into()),
            },
        }
    }
}

/// The spellings that Go's flag package takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn normal(line: &str) -> String {
        let argv = line.split(' ').map(OsString::from).collect();
        let argv = normalise(&Cli::command(), argv);
        argv.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn one_dash_means_two() {
        assert_eq!(
            normal("runsc -root /r -log-format=json state c"),
            "runsc --root /r --log-format=json state c"
        );
    }

    #[test]
    fn flags_may_stand_after_the_container() {
        assert_eq!(
            normal("runsc create c -bundle /b --pid-file=/p"),
            "runsc create c --bundle /b --pid-file=/p"
        );
        assert_eq!(normal("runsc delete c -force"), "runsc delete c --force");
    }

    #[test]
    fn booleans_take_values() {
        assert_eq!(normal("runsc --debug=true state c"), "runsc --debug state c");
        assert_eq!(normal("runsc --systemd-cgroup=false state c"), "runsc state c");
        assert_eq!(normal("runsc --debug=maybe state c"), "runsc --debug=maybe state c");
    }

    #[test]
    fn a_value_that_looks_like_a_flag_is_left_alone() {
        assert_eq!(normal("runsc -log -x state c"), "runsc --log -x state c");
    }

    #[test]
    fn the_command_inside_is_left_alone() {
        assert_eq!(
            normal("runsc exec -tty c ls -debug --root=/x"),
            "runsc exec --tty c ls -debug --root=/x"
        );
        assert_eq!(normal("runsc -debug do ls -force -l"), "runsc --debug do ls -force -l");
        assert_eq!(normal("runsc spec -- -debug"), "runsc spec -- -debug");
    }

    #[test]
    fn short_flags_keep_one_dash_or_get_their_long_name() {
        assert_eq!(normal("runsc create -b /b c"), "runsc create --bundle /b c");
        assert_eq!(normal("runsc exec -d -t c sh -d"), "runsc exec --detach --tty c sh -d");
    }

    #[test]
    fn an_unknown_flag_is_left_for_the_parser() {
        assert_eq!(normal("runsc -dream state c"), "runsc -dream state c");
    }
}
