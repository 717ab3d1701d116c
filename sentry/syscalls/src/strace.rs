//! Printing calls (`--strace`).
//!
//! A shape has one letter per argument: `d` int, `u` unsigned, `x` hexadecimal or address,
//! `s` string (a path), `b` buffer with the length in the next argument (only for calls that
//! write), `o` octal, `f` descriptor, `S` signal.

use abi::Signal;
use kernel::{Cx, SysResult};

use crate::{Args, Entry, names};

/// Longest string printed.
const STRING_MAX_BYTES: usize = 96;

/// The arguments as text, taken before the call runs (execve and munmap take the memory away).
pub(crate) fn enter(cx: &Cx<'_>, entry: &Entry, args: Args) -> String {
    let mut text = String::new();
    for (index, kind) in entry.shape.chars().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&one(cx, kind, args, index));
    }
    tracing::info!(target: "strace", "[{}] {}({text})", cx.task.tid(), entry.name);
    text
}

pub(crate) fn leave(cx: &Cx<'_>, entry: &Entry, _: Args, text: &str, result: SysResult) {
    let result = match result {
        Ok(value) if value > 0xffff => format!("{value:#x}"),
        Ok(value) => value.to_string(),
        Err(errno) => format!("-1 {errno}"),
    };
    tracing::info!(target: "strace", "[{}] {}({text}) = {result}", cx.task.tid(), entry.name);
}

pub(crate) fn unknown(cx: &Cx<'_>, number: u64, args: Args) {
    let name = names::name_of(number).unwrap_or("unknown");
    let args = args.0;
    tracing::info!(target: "strace", "[{}] {name}#{number}({args:x?}) = -1 ENOSYS", cx.task.tid());
}

fn one(cx: &Cx<'_>, kind: char, args: Args, index: usize) -> String {
    match kind {
        'd' | 'f' => args.i32(index).to_string(),
        'u' => args.get(index).to_string(),
        'o' => format!("{:#o}", args.u32(index)),
        'S' => match Signal::new(args.get(index)) {
            Some(signal) => format!("{signal:?}"),
            None => args.get(index).to_string(),
        },
        's' => match cx.mm.read_string(args.addr(index), STRING_MAX_BYTES) {
            Ok(text) => format!("{:?}", String::from_utf8_lossy(&text)),
            Err(_) => format!("{:#x}", args.get(index)),
        },
        'b' => {
            let len = args.size(index + 1).min(STRING_MAX_BYTES);
            let mut bytes = vec![0; len];
            let done = cx.mm.read_partial(args.addr(index), &mut bytes);
            format!("{:?}", String::from_utf8_lossy(bytes.get(..done).unwrap_or_default()))
        }
        _ => format!("{:#x}", args.get(index)),
    }
}
