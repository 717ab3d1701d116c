//! Pseudo-terminals (pts(4), pty(7)): the line discipline, both ends, and the directory of slaves.
//!
//! Lock order: slaves of the directory -> a session's terminal -> state of a terminal. Signals
//! are sent, and queues told, with none of them held.

mod control;
mod fs;
mod line;
mod master;
mod slave;
mod terminal;
mod termios;
#[cfg(test)]
mod tests;

pub use fs::{Devpts, TtyDevice};
pub use master::Master;
pub use slave::Slave;
pub use terminal::Terminal;

/// The object types, for checkpoints.
pub(crate) fn savable(r: state::Registry) -> state::Registry {
    r.object::<Devpts>()
        .view::<Devpts, dyn vfs::Filesystem>(|weak| weak)
        .object::<fs::RootInode>()
        .view::<fs::RootInode, dyn vfs::Inode>(|weak| weak)
        .object::<fs::PtmxInode>()
        .view::<fs::PtmxInode, dyn vfs::Inode>(|weak| weak)
        .object::<fs::SlaveInode>()
        .view::<fs::SlaveInode, dyn vfs::Inode>(|weak| weak)
        .object::<fs::Directory>()
        .view::<fs::Directory, dyn vfs::File>(|weak| weak)
        .object::<Terminal>()
        .view::<Terminal, dyn kernel::ControllingTty>(|weak| weak)
        .object::<Master>()
        .view::<Master, dyn vfs::File>(|weak| weak)
        .object::<Slave>()
        .view::<Slave, dyn vfs::File>(|weak| weak)
}
