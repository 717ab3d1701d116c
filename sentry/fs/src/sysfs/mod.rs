//! Kernel objects (sysfs(5)), as far as programs look at them: how many CPUs there are, and that
//! memory comes in small pages. The tree is made once, when it is mounted; nothing in it changes.

mod fs;
#[cfg(test)]
mod tests;

pub use fs::populate;
