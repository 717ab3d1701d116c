//! The report of a panic. The sandbox can't open its own executable, so it writes bare addresses, relative to
//! the start of its image; a command of `runsc` finds their names later.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use object::{Object, SymbolMap, SymbolMapName};

use crate::sandbox::spawn::{exit_now, return_addresses};

/// What a crashed sandbox exits with, as after abort(3).
const STATUS: i32 = 128 + libc::SIGABRT;

/// How a frame is written: this, then the address.
const FRAME: &str = "  at image+";

/// From now on a panic of any thread writes its report to `file` and ends the process.
pub(super) fn install(file: &OwnedFd) -> Result<()> {
    let base = image_start()?;
    let file = rustix::io::dup(file)?;
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let text = format!("{panic}\nin thread {:?}\n", thread.name().unwrap_or("?"));
        let _ = rustix::io::write(&file, text.as_bytes());
        let _ = rustix::io::write(&file, frames(base).as_bytes());
        exit_now(STATUS);
    }));
    Ok(())
}

/// Where this executable was loaded (`proc_pid_maps(5)`: its first line is the image's, as ELF files are
/// mapped lowest first and nothing lies below).
fn image_start() -> Result<usize> {
    let maps = fs::read_to_string("/proc/self/maps").context("read /proc/self/maps")?;
    let start = maps.split('-').next().unwrap_or_default();
    usize::from_str_radix(start, 16).context("read /proc/self/maps")
}

/// One line per caller. What lies below the image is another library's.
fn frames(base: usize) -> String {
    let offsets = return_addresses().into_iter().filter_map(|address| address.checked_sub(base));
    offsets.map(|offset| format!("{FRAME}{offset:#x}\n")).collect()
}

/// The report with the names of its addresses, which must be of this very executable.
pub(crate) fn resolve(report: &str) -> String {
    let file = fs::read("/proc/self/exe").unwrap_or_default();
    let Ok(image) = object::File::parse(&*file) else { return report.to_owned() };
    let symbols = image.symbol_map();
    report.lines().map(|line| resolve_line(line, &symbols) + "\n").collect()
}

fn resolve_line(line: &str, symbols: &SymbolMap<SymbolMapName<'_>>) -> String {
    let address = line.strip_prefix(FRAME).and_then(|text| text.strip_prefix("0x"));
    let address = address.and_then(|text| u64::from_str_radix(text, 16).ok());
    match address.and_then(|address| symbols.containing(address)) {
        Some(symbol) => format!("{line} {}", symbol.name()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_backtrace_get_their_names_back() {
        let resolved = resolve(&frames(image_start().unwrap()));
        assert!(resolved.contains("the_addresses_of_a_backtrace"), "{resolved}");
    }
}
